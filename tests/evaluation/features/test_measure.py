"""The one pass: once for each feature, the same bits by any number of processes, resumable."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fbridge.evaluation.features.cache import FeatureCache
from fbridge.evaluation.features.measure import (
    FeatureRequest,
    FeatureTask,
    FrameSource,
    measure,
    read_feature,
)
from fbridge.evaluation.features.networks import MAKERS, Maker, Setup, build, round_trip
from tests.evaluation.sides import clips_of, write_side

SETUP = Setup((24, 24))
NAMES = {"psnr": "psnr 1", "flow": "flow 1", "flicker": "flicker 1"}


@pytest.fixture
def tasks(tmp_path: Path) -> list[FeatureTask]:
    clips = clips_of(write_side(tmp_path / "videos", range(4)))
    made = []
    for clip in clips:
        source, still = FrameSource(clip), FrameSource(clip, variant="still")
        requests = (
            FeatureRequest("flow", (source,)),
            FeatureRequest("flicker", (source,)),
            FeatureRequest("psnr", (still, source)),
        )
        made.append(FeatureTask(clip.key, requests))
    return made


def rows(tasks: list[FeatureTask], cache: FeatureCache) -> list[Tensor]:
    return [
        read_feature(request, SETUP, NAMES, cache) for task in tasks for request in task.requests
    ]


def test_processes_change_no_bit(tasks: list[FeatureTask]) -> None:
    found = []
    for workers in (0, 2):
        with FeatureCache(None) as cache:
            last = list(measure(tasks, SETUP, NAMES, cache, workers=workers))[-1]
            assert (last.done, last.fresh, last.failed) == (4, 4, {})
            found.append(rows(tasks, cache))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_what_is_kept_is_not_computed_again(
    tasks: list[FeatureTask], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: Counter[str] = Counter()

    def counting(frames: Tensor) -> Tensor:
        counted["flow"] += 1
        return frames.float().mean((1, 2, 3))

    build.cache_clear()
    monkeypatch.setitem(MAKERS, "flow", Maker((), "1", lambda _: counting))
    path = tmp_path / "features.sqlite"
    with FeatureCache(path) as cache:
        events = measure(tasks, SETUP, NAMES, cache, workers=0)
        next(events), next(events), next(events)  # killed after two clips
        events.close()  # type: ignore[attr-defined]
    assert counted["flow"] == 2
    with FeatureCache(path) as cache:
        told = [(one.done, one.fresh) for one in measure(tasks, SETUP, NAMES, cache, workers=0)]
        assert told == [(2, 0), (3, 1), (4, 2)]
        assert counted["flow"] == 4
        list(measure(tasks, SETUP, {**NAMES, "flow": "flow 2"}, cache, workers=0))
    assert counted["flow"] == 8  # another network's features are others
    build.cache_clear()


def test_a_clip_that_cannot_be_read_is_told(tasks: list[FeatureTask], tmp_path: Path) -> None:
    (tmp_path / "videos/01.mp4").write_bytes(b"gone")
    with FeatureCache(None) as cache:
        last = list(measure(tasks, SETUP, NAMES, cache, workers=0))[-1]
    assert list(last.failed) == ["01"]
    assert last.done == 4


@pytest.mark.parametrize("number", [5, 6, 8, 9])
def test_a_codec_of_some_numbers_of_frames_takes_all(number: int) -> None:
    """Frames that are the same all along come back so, and as many."""
    frames = torch.full((1, 64, 64, 3), 120, dtype=torch.uint8).expand(number, -1, -1, -1)
    back = round_trip(Setup((64, 64), codec="t2v.safetensors"))(frames)
    assert back.shape == frames.shape
    assert float((back.float() - 120).abs().mean()) < 8
