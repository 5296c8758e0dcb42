from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from fbridge.data.video.buckets import Bucket, parse_buckets
from fbridge.data.video.clip import decode_clip
from fbridge.data.video.clip_sampling import ClipSampling
from fbridge.data.video.decode import DecodedFrame, read_frames
from fbridge.data.video.resize import Scaler
from fbridge.data.video.survey import survey_file
from fbridge.data.video_files import read_video, write_video
from fbridge.errors import DataError
from tests.data.video.conftest import Shelf
from tests.data.video.films import (
    KINDS,
    Film,
    Frames,
    cut_short,
    encode,
    film,
    flip,
    read_numbers,
    window,
)

FULL = Bucket(176, 144, 40)
EVERY = ClipSampling(parse_buckets("64x64x1"), mode="slide:1")


def stamps_of(source: Film) -> list[int]:
    return [cut.pts[0] for cut in survey_file(source, EVERY).cuts]


@pytest.mark.parametrize("name", KINDS)
def test_jumping_and_skipping_change_no_pixel(shelf: Shelf, name: str) -> None:
    source = shelf(name)
    stamps = stamps_of(source)
    whole = dict(zip(stamps, decode_clip(source, tuple(stamps), FULL, "pyav").frames, strict=True))
    straight = {
        shot.stamp: Scaler(FULL)(shot) for shot in read_frames(source, stamps, straight=True)
    }
    for start, stride in ((0, 1), (0, 7), (1, 2), (13, 3), (20, 5), (29, 4), (len(stamps) - 1, 1)):
        wanted = tuple(stamps[start::stride][:6])
        for stamp, image in zip(
            wanted, decode_clip(source, wanted, FULL, "pyav").frames, strict=True
        ):
            np.testing.assert_array_equal(image, straight[stamp], f"{start}, {stride}")
            np.testing.assert_array_equal(image, whole[stamp])


@pytest.mark.parametrize("name", ["plain.mp4", "open.mp4", "film.mkv", "hevc.mp4"])
def test_most_jumps_need_no_second_try(shelf: Shelf, name: str) -> None:
    source = shelf(name)
    stamps = stamps_of(source)
    done = 0
    for start in range(len(stamps)):
        try:
            done += len(list(read_frames(source, stamps[start : start + 2], straight=False))) > 0
        except DataError:
            assert name in ("open.mp4", "hevc.mp4")
    assert done >= (40 if name in ("plain.mp4", "film.mkv") else 30)


def test_a_window_and_a_file_give_the_same(shelf: Shelf) -> None:
    for name in ("plain.mp4", "vp9.webm", "mpeg4-b.avi"):
        source = shelf(name)
        stamps = tuple(stamps_of(source)[11:30:4])
        one, other = (decode_clip(s, stamps, FULL, "pyav") for s in (source, window(source)))
        np.testing.assert_array_equal(one.frames, other.frames)


def test_frames_come_in_the_order_asked_for_and_as_often(shelf: Shelf) -> None:
    source = shelf("plain.mp4")
    stamps = stamps_of(source)
    wanted = tuple(stamps[n] for n in (9, 9, 4, 30, 4))
    decoded = decode_clip(source, wanted, Bucket(88, 72, 5), "pyav")
    assert decoded.frames.shape == (5, 72, 88, 3)
    assert decoded.frames.dtype == np.uint8
    assert read_numbers(decoded.frames) == [9, 9, 4, 30, 4]
    assert decoded.seconds_decode > 0
    assert decoded.seconds_resize > 0


def test_pixels_are_those_of_the_plain_way(shelf: Shelf) -> None:
    """Against every frame in full and Pillow's bicubic, which is antialiased too."""
    source = shelf("plain.mp4")
    stamps = tuple(stamps_of(source)[2:12:3])
    ours = decode_clip(source, stamps, Bucket(48, 64, 4), "pyav").frames.astype(int)
    with av.open(str(source.path)) as container:
        full = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    for image, theirs in zip(ours, full[2:12:3], strict=True):
        small = Image.fromarray(theirs).resize((78, 64), Image.Resampling.BICUBIC)
        difference = np.abs(image - np.asarray(small)[:, 15:63])
        assert difference.mean() < 2
        assert difference.max() < 40


def test_fine_stripes_turn_grey() -> None:
    stripes = np.zeros((144, 176, 3), np.uint8)
    stripes[:, ::2] = 255
    frame = av.VideoFrame.from_ndarray(stripes, format="rgb24")
    image = Scaler(Bucket(40, 30, 1))(DecodedFrame(0, frame, Fraction(1)))
    assert np.abs(image[:, 4:-4].astype(int) - 127).max() <= 6


def test_square_pixels(shelf: Shelf) -> None:
    source = shelf("wide-pixels.mp4")  # shown as 235 x 144
    stamps = tuple(stamps_of(source)[:1])
    image = decode_clip(source, stamps, Bucket(235, 144, 1), "pyav").frames[0]
    plain = decode_clip(shelf("plain.mp4"), stamps, Bucket(176, 144, 1), "pyav").frames[0]
    wide = np.asarray(Image.fromarray(plain).resize((235, 144), Image.Resampling.BICUBIC))
    assert np.abs(image.astype(int) - wide).mean() < 2


@pytest.mark.parametrize("height", [144, 720])
def test_untagged_colours_are_read_as_by_read_video(tmp_path: Path, height: int) -> None:
    frames = film(2, 176, height)
    source = encode(tmp_path / "film.mp4", frames)
    expected = read_video(source.path).frames
    stamps = tuple(stamps_of(source))
    ours = decode_clip(source, stamps, Bucket(176, height, 2), "pyav").frames
    np.testing.assert_array_equal(ours, expected)
    write_video(frames, tmp_path / "tagged.mp4", 8)
    tagged = Film(tmp_path / "tagged.mp4")
    ours = decode_clip(tagged, tuple(stamps_of(tagged)), Bucket(176, height, 2), "pyav").frames
    np.testing.assert_array_equal(ours, read_video(tagged.path).frames)


def test_ten_bits(shelf: Shelf) -> None:
    deep, plain = (
        decode_clip(source, tuple(stamps_of(source)[:4]), FULL, "pyav").frames.astype(int)
        for source in (shelf("deep.mp4"), shelf("plain.mp4"))
    )
    assert np.abs(deep - plain).mean() < 3


@pytest.mark.parametrize("name", ["front.mp4", "film.mkv", "mpeg4.avi", "film.ts", "film.flv"])
def test_damage_in_the_middle(shelf: Shelf, name: str) -> None:
    source = flip(shelf(name))
    stamps = stamps_of(source)
    with pytest.raises(DataError, match=r"is damaged at [01]\.\d\d s; copy or download it again"):
        decode_clip(source, tuple(stamps), FULL, "pyav")
    before = decode_clip(source, tuple(stamps[:8]), FULL, "pyav").frames
    assert read_numbers(before) == list(range(8))


def test_damage_before_a_key_frame_harms_nothing_after_it(shelf: Shelf) -> None:
    stamps = tuple(stamps_of(shelf("front.mp4"))[36:40])
    whole = decode_clip(shelf("front.mp4"), stamps, FULL, "pyav").frames
    harmed: Frames = decode_clip(flip(shelf("front.mp4")), stamps, FULL, "pyav").frames
    np.testing.assert_array_equal(harmed, whole)


def test_a_stamp_that_is_not_there(shelf: Shelf) -> None:
    source = shelf("plain.mp4")
    stamps = stamps_of(source)
    with pytest.raises(DataError, match=r"has no frame at 0\.00 s"):
        decode_clip(source, (stamps[0] + 1, stamps[3]), FULL, "pyav")
    with pytest.raises(DataError, match="has no frame"):
        decode_clip(
            cut_short(shelf("film.mkv"), 0.5), tuple(stamps_of(shelf("film.mkv"))), FULL, "pyav"
        )


def test_a_file_that_vanished(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be read \(No such file"):
        decode_clip(Film(tmp_path / "gone.mp4"), (0,), FULL, "pyav")
