from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fbridge.data.video.buckets import Bucket
from fbridge.data.video.clip_sampling import ClipSampling, choose_frames
from fbridge.errors import ConfigError

ONE = (Bucket(64, 64, 8),)

modes = st.one_of(
    st.sampled_from(["head", "middle"]),
    st.builds("uniform:{}".format, st.integers(1, 9)),
    st.builds("slide:{}".format, st.integers(1, 9)),
)
steps = st.lists(st.floats(0.001, 0.5), max_size=60)


def times_of(gaps: list[float]) -> tuple[list[float], float]:
    times = [0.0]
    for gap in gaps:
        times.append(times[-1] + gap)
    return times, times[-1] + 0.04


@given(steps, modes, st.integers(1, 5), st.integers(1, 20))
def test_clips_by_stride(gaps: list[float], mode: str, stride: int, frames: int) -> None:
    times, seconds = times_of(gaps)
    clips = choose_frames(times, seconds, ClipSampling(ONE, stride=stride, mode=mode), frames)
    available = (len(times) + stride - 1) // stride
    assert bool(clips) == (available >= frames)
    assert len({tuple(clip) for clip in clips}) == len(clips)
    assert clips == sorted(clips)
    for clip in clips:
        assert len(clip) == frames
        assert clip[0] >= 0
        assert clip[-1] < len(times)
        assert all(after - before == stride for before, after in pairwise(clip))


@given(steps, modes, st.floats(0.5, 60), st.integers(1, 20))
def test_clips_by_the_clock_show_what_was_on_screen(
    gaps: list[float], mode: str, fps: float, frames: int
) -> None:
    times, seconds = times_of(gaps)
    clips = choose_frames(times, seconds, ClipSampling(ONE, fps=fps, mode=mode), frames)
    late = 0.2 * max(gaps, default=0.0) + 1e-9
    for clip in clips:
        assert len(clip) == frames
        # one moment of the first frame's time on screen explains all frames
        low, high = -1e9, 1e9
        for k, position in enumerate(clip):
            following = times[position + 1] if position + 1 < len(times) else seconds
            low = max(low, times[position] - k / fps)
            high = min(high, following - k / fps)
        assert low <= high + 2 * late


def test_a_film_of_24_at_8_a_second() -> None:
    times = [n / 24 for n in range(48)]
    assert choose_frames(times, 2.0, ClipSampling(ONE, fps=8), 16) == [list(range(0, 48, 3))]
    assert choose_frames(times, 2.0, ClipSampling(ONE, fps=8), 17) == []


@pytest.mark.parametrize("ticks", [1000, 100], ids=["webm", "gif"])
@pytest.mark.parametrize("fps", [12, 24, 30])
def test_clocks_that_round_repeat_and_skip_nothing(ticks: int, fps: int) -> None:
    times = [round(n * ticks / fps) / ticks for n in range(90)]
    assert choose_frames(times, 90 / fps, ClipSampling(ONE, fps=fps), 90) == [list(range(90))]


def test_a_variable_rate_by_the_clock() -> None:
    times = [0.0, 0.1, 0.2, 1.0, 1.1, 2.0]
    assert choose_frames(times, 3.0, ClipSampling(ONE, fps=2), 6) == [[0, 2, 3, 4, 5, 5]]
    assert choose_frames(times, 3.0, ClipSampling(ONE, fps=2, mode="slide:2"), 2) == [
        [0, 2],
        [3, 4],
        [5, 5],
    ]


@pytest.mark.parametrize(
    ("mode", "starts"),
    [
        ("head", [0]),
        ("middle", [6]),
        ("uniform:1", [6]),
        ("uniform:3", [0, 6, 12]),
        ("uniform:99", list(range(13))),
        ("slide:5", [0, 5, 10]),
        ("slide:20", [0]),
    ],
)
def test_where_clips_begin(mode: str, starts: list[int]) -> None:
    clips = choose_frames([n / 10 for n in range(20)], 2.0, ClipSampling(ONE, mode=mode), 8)
    assert [clip[0] for clip in clips] == starts


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"buckets": ()}, "at least one"),
        ({"buckets": (Bucket(0, 8, 8),)}, "1 or more"),
        ({"stride": 0}, "stride 0"),
        ({"fps": 0.0}, "more than 0"),
        ({"fps": float("nan")}, "more than 0"),
        ({"fps": 8.0, "stride": 2}, "one of them"),
        ({"min_seconds": -1.0}, "must be from 0"),
        ({"mode": "tail"}, "use head"),
        ({"mode": "uniform:0"}, "use head"),
        ({"mode": "slide:"}, "use head"),
        ({"mode": "head:2"}, "use head"),
        ({"decoder": "opencv"}, "use pyav, decord"),
    ],
)
def test_values_that_cannot_be(values: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        ClipSampling(**{"buckets": ONE, **values})  # type: ignore[arg-type]
