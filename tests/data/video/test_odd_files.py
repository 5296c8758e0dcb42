"""Files that are odd but valid: the frames that are shown, or a refusal with its reason."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest
from PIL import Image

from fbridge.data.video.buckets import Bucket
from fbridge.data.video.clip import decode_clip
from fbridge.data.video.clip_sampling import ClipSampling
from fbridge.data.video.container import OpenVideo, demux
from fbridge.data.video.decode import ROUND, read_frames
from fbridge.data.video.survey import Survey, survey_file
from fbridge.data.video_files import read_video
from fbridge.errors import DataError
from tests.data.video.conftest import Shelf
from tests.data.video.films import Film, copy_packets, encode, film, read_numbers

SIDE = 64
OPEN = {"g": "8", "bf": "3", "x264-params": "open-gop=1:scenecut=0:b-adapt=0"}
OPEN_HEVC = {"x265-params": "log-level=none:keyint=8:min-keyint=8:bframes=3:open-gop=1:scenecut=0"}


def every(source: Film, frames: int = 1) -> Survey:
    return survey_file(source, ClipSampling((Bucket(SIDE, SIDE, frames),), mode=f"slide:{frames}"))


def shown(source: Film) -> list[int]:
    """The numbers on all frames, each decoded on its own, and at once; both must agree."""
    cuts = every(source).cuts
    stamps = tuple(cut.pts[0] for cut in cuts)
    bucket = Bucket(SIDE, SIDE, 1)
    single = [decode_clip(source, (stamp,), bucket, "pyav").frames[0] for stamp in stamps[::3]]
    whole = decode_clip(source, stamps, Bucket(SIDE, SIDE, len(stamps)), "pyav").frames
    assert read_numbers(np.stack(single), SIDE, SIDE) == read_numbers(whole, SIDE, SIDE)[::3]
    np.testing.assert_array_equal(read_video(source.path).frames, whole)
    return read_numbers(whole, SIDE, SIDE)


def small(path: Path, numbers: range, **options: object) -> Film:
    return encode(path, film(numbers, SIDE, SIDE), **options)  # type: ignore[arg-type]


def join(path: Path, *parts: Film) -> Film:
    path.write_bytes(b"".join(part.path.read_bytes() for part in parts))
    return Film(path)


@pytest.mark.parametrize("suffix", ["ts", "mkv", "mpg", "webm"])
def test_joined_recordings_are_read_in_stored_order(tmp_path: Path, suffix: str) -> None:
    """FFMS/ffms2#258: the clock starts again where two files were joined with cat."""
    codec = {"mpg": "mpeg2video", "webm": "libvpx"}.get(suffix, "libx264")
    options = {"mpg": {"b": "8M", "qmax": "3"}, "webm": {"b": "2M"}}.get(suffix, {})
    parts = [
        small(tmp_path / f"{start}.{suffix}", numbers, codec=codec, fps=25, options=options)
        for start, numbers in enumerate((range(12), range(100, 112)))
    ]
    joined = join(tmp_path / f"joined.{suffix}", *parts)
    assert shown(joined) == [*range(12), *range(100, 112)]
    survey = every(joined)
    assert "clock does not always go forward: frame 12, 0.48 s" in survey.notes
    times = [cut.times[0] for cut in survey.cuts]
    np.testing.assert_allclose(times, np.arange(24) / 25, atol=2e-3)


def test_clocks_that_overlap_do_not_mix_two_scenes(tmp_path: Path) -> None:
    first = small(tmp_path / "a.ts", range(12))
    second = small(tmp_path / "b.ts", range(100, 112), pts=[k + 6 for k in range(12)])
    assert shown(join(tmp_path / "c.ts", first, second)) == [*range(12), *range(100, 112)]


def test_two_frames_in_one_tick(tmp_path: Path) -> None:
    """nixxquality/WebMConverter#117: Matroska counts milliseconds."""
    source = small(tmp_path / "fast.mkv", range(16), fps=2000)
    assert shown(source) == list(range(16))
    assert every(source).fps == pytest.approx(2000, rel=0.1)


def test_frames_of_one_time_are_refused(tmp_path: Path) -> None:
    source = small(tmp_path / "still.mkv", range(4), fps=100_000, options={"bf": "0"})
    with pytest.raises(DataError, match="has one time for all frames"):
        every(source)


def test_frames_that_are_missing_are_never_replaced(tmp_path: Path) -> None:
    joined = join(tmp_path / "c.ts", *[small(tmp_path / f"{k}.ts", range(6)) for k in range(2)])
    stamps = [cut.pts[0] for cut in every(joined).cuts]
    assert min(stamps) > ROUND // 2
    with pytest.raises(DataError, match=r"has no frame at 0\.\d\d s"):
        list(read_frames(joined, (stamps[-1] + ROUND,), straight=True))


class _Late:
    """A container in which a track begins after others, as PyAV 18.1 reads it."""

    def demux(self, stream: object) -> Iterator[object]:
        yield stream
        raise IndexError("list index out of range")


def test_a_track_that_begins_in_the_middle_is_named() -> None:
    source = OpenVideo(cast(Any, _Late()), cast(Any, "packet"), True, Fraction(1), (0,))
    packets = demux(source)
    assert next(packets) == cast(Any, "packet")
    with pytest.raises(DataError, match="a track that begins in its middle; keep one: ffmpeg"):
        next(packets)


def test_a_second_file_behind_the_first_is_told(tmp_path: Path) -> None:
    for suffix in ("flv", "mp4"):
        parts = [small(tmp_path / f"{k}.{suffix}", range(4)) for k in range(2)]
        survey = every(join(tmp_path / f"joined.{suffix}", *parts))
        assert survey.frames == 4
        assert "another file behind it, which is not read" in survey.notes
        assert every(parts[0]).notes == ()


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_the_default_track_is_read_or_else_the_largest(tmp_path: Path, suffix: str) -> None:
    """immich-app/immich#11603: the first track is a small one that is not shown."""
    little = encode(tmp_path / "little.mp4", film(range(50, 58), 32, 32))
    large = small(tmp_path / "large.mp4", range(8))
    for default, frames in (((1,), range(8)), ((0, 1), range(8)), ((0,), range(50, 58))):
        path = tmp_path / f"{len(default)}{default[0]}.{suffix}"
        survey = every(copy_packets([little, large], path, default=default))
        used = int(frames[0] == 0)
        assert survey.track == used
        assert (survey.width, survey.height) == ((64, 64) if used else (32, 32))
        assert f"several video tracks: 2, of which stream {used} is used" in survey.notes
        assert bool(survey.reading) == bool(used)
        assert read_numbers(read_video(path).frames, survey.width, survey.height) == list(frames)
        if used:
            with pytest.raises(DataError, match="several video tracks; use the decoder pyav"):
                read_video(path, decoder="decord")


def test_an_animated_avif_is_its_animation_and_not_the_picture_before_it(tmp_path: Path) -> None:
    first, *rest = map(Image.fromarray, film(8, SIDE, SIDE))
    path = tmp_path / "a.avif"
    first.save(path, save_all=True, append_images=rest, duration=125, quality=90)
    assert every(Film(path)).track == 1
    assert read_numbers(read_video(path).frames, SIDE, SIDE) == list(range(8))


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_leading_pictures_of_a_copied_cut_are_forgiven(
    tmp_path: Path, suffix: str, codec: str
) -> None:
    """As `ffmpeg -ss 1 -t 2 -c copy` and `-f segment` cut out of open groups of pictures."""
    options = OPEN if codec == "libx264" else OPEN_HEVC
    kind = "ts" if suffix == "ts" else "mp4"
    source = small(tmp_path / f"whole.{kind}", range(24), codec=codec, options=options)
    cut = copy_packets([source], tmp_path / f"cut.{suffix}", key=1)
    frames = shown(cut)
    assert frames == list(range(frames[0], 24))
    assert 7 <= frames[0] <= 9
    before = [note for note in every(cut).notes if "without their key frame" in note]
    assert len(before) == (suffix != "mp4")  # there, an edit list hides them
    if _has_decord():
        with pytest.raises(DataError, match="use the decoder pyav"):
            read_video(cut.path, decoder="decord")


def test_a_recording_that_starts_between_key_frames(tmp_path: Path) -> None:
    """Kitware/kwiver#1401: of television, or of a camera that is always on."""
    data = small(tmp_path / "a.ts", range(20), options={"g": "8", "bf": "2"}).path.read_bytes()
    packets = [data[place : place + 188] for place in range(0, len(data), 188)]
    starts = [k for k, packet in enumerate(packets) if packet[1] & 0x40 and packet[2] == 0]
    (tmp_path / "b.ts").write_bytes(b"".join(packets[:3] + packets[starts[3] :]))
    source = Film(tmp_path / "b.ts")
    assert shown(source) == list(range(8, 20))
    assert any(note.startswith("frames without their key frame") for note in every(source).notes)


def test_closed_leading_pictures_are_kept(tmp_path: Path) -> None:
    """A cut whose first pictures are stored behind the key frame and need nothing before it."""
    options = {"x265-params": "log-level=none:keyint=8:bframes=3:open-gop=0:radl=2:scenecut=0"}
    source = small(tmp_path / "whole.ts", range(24), codec="libx265", options=options)
    cut = copy_packets([source], tmp_path / "cut.ts", key=1)
    assert every(cut).notes == ()
    assert shown(cut)[-1] == 23
    assert len(shown(cut)) >= 16


@pytest.mark.parametrize("matrix", ["YCgCo", "bt2020c", "ICtCp"])
def test_a_matrix_that_is_not_converted_is_named(tmp_path: Path, matrix: str) -> None:
    """mpv-player/mpv#4340; the survey meets it, so that a dry run does."""
    source = small(tmp_path / "odd.mp4", range(4), options={"x264-params": f"colormatrix={matrix}"})
    with pytest.raises(DataError, match=r"has the colour matrix .*, which is not converted"):
        every(source)
    with pytest.raises(DataError, match=r"odd\.mp4: has the colour matrix"):
        read_video(source.path)


@pytest.mark.parametrize(("transfer", "name"), [("smpte2084", "PQ"), ("arib-std-b67", "HLG")])
def test_high_dynamic_range_is_named(tmp_path: Path, transfer: str, name: str) -> None:
    options = {"x264-params": f"transfer={transfer}:colormatrix=bt2020nc"}
    survey = every(small(tmp_path / "hdr.mp4", range(4), options=options))
    assert survey.notes == (f"HDR ({name}) without tone mapping",)
    assert survey.reading == ()


def test_transparency_is_told(tmp_path: Path) -> None:
    """Kosinkadink/ComfyUI-VideoHelperSuite#350: videos with an alpha channel."""
    source = small(tmp_path / "clear.mov", range(4), codec="qtrle", pixels="argb")
    assert every(source).notes == ("transparency ignored",)


def test_a_stamp_from_the_past_moves_no_frame(tmp_path: Path) -> None:
    """bluenviron/mediamtx#6255: recorders stamp single frames hours away from their neighbours."""
    source = small(tmp_path / "a.ts", range(24), options={"g": "8", "bf": "0"})
    with av.open(str(source.path)) as one:
        packets = [packet for packet in one.demux(video=0) if packet.size]
        parts = []
        for start, end, second in ((0, 11, 5), (11, 12, 1), (12, 24, 5)):
            part = tmp_path / f"{start}.ts"
            with av.open(str(part), "w") as target:
                track = target.add_stream_from_template(one.streams.video[0])
                for packet in packets[start:end]:
                    packet.pts = packet.dts = (packet.pts or 0) + 90_000 * second
                    packet.stream = track
                    target.mux(packet)
            parts.append(Film(part))
    join(tmp_path / "b.ts", *parts)
    numbers = shown(Film(tmp_path / "b.ts"))
    assert numbers == sorted(numbers)
    assert {*range(11), *range(16, 24)} <= set(numbers)
    assert len(numbers) < 24
    assert any("without their key frame" in note for note in every(Film(tmp_path / "b.ts")).notes)


def test_a_survey_with_notes_survives_json(shelf: Shelf, tmp_path: Path) -> None:
    two = copy_packets([shelf("plain.mp4"), shelf("late.mp4")], tmp_path / "two.mkv")
    survey = every(two)
    assert survey.notes
    assert Survey.from_json(survey.to_json()) == survey


@pytest.mark.parametrize("width", [8, 16, 48])
def test_decord_pads_narrow_frames(tmp_path: Path, width: int) -> None:
    """It returns (64, 48, 4) for a frame of 48x64: a row with its padding."""
    pytest.importorskip("decord")
    source = encode(tmp_path / "narrow.mp4", film(3, width, 64))
    ours, theirs = (read_video(source.path, decoder=name).frames for name in ("pyav", "decord"))
    assert theirs.shape == (3, 64, width, 3)
    assert np.abs(ours.astype(int) - theirs).mean() < 4  # more than 60 with the padding as pixels


@pytest.mark.parametrize("name", ["edited.mp4", "uneven.mp4", "late.mkv", "wide-pixels.mp4"])
def test_read_video_is_the_reader_of_prepare(shelf: Shelf, name: str) -> None:
    source = shelf(name)
    survey = survey_file(source, ClipSampling((Bucket(SIDE, SIDE, 1),), mode="slide:1"))
    for decoder in ("pyav", "decord"):
        if decoder == "decord" and (name == "edited.mp4" or not _has_decord()):
            continue
        video = read_video(source.path, decoder=decoder)
        assert video.frames.shape[1:] == (survey.height, survey.width, 3)
        assert video.fps == survey.fps
        assert list(video.timestamps) == [cut.times[0] for cut in survey.cuts]
    if name == "edited.mp4" and _has_decord():
        with pytest.raises(DataError, match=r"edited\.mp4: has 35 frames, but 40 for decord"):
            read_video(source.path, decoder="decord")


def _has_decord() -> bool:
    return importlib.util.find_spec("decord") is not None
