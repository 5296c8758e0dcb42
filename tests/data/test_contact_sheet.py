"""Contact sheets: which frames are shown, and where."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fbridge.data.contact_sheet import COLUMNS, THUMB, stack, strips


def ramp(frames: int, height: int = 32, width: int = 64) -> NDArray[np.uint8]:
    """Frame n has the grey n + 10."""
    video = np.empty((frames, height, width, 3), np.uint8)
    video[:] = (np.arange(frames) + 10)[:, None, None, None]
    return video


def greys(image: Image.Image, row: int, left: int) -> list[int]:
    """The grey in the middle of every column, at a height."""
    pixels = np.asarray(image)
    return [int(pixels[row, left + n * (THUMB + 2) + THUMB // 2, 0]) for n in range(COLUMNS)]


@pytest.mark.parametrize(
    ("frames", "shown"),
    [
        (3, [10, 11, 12, 255, 255, 255, 255, 255]),
        (8, [10, 11, 12, 13, 14, 15, 16, 17]),
        (50, [10, 17, 24, 31, 38, 45, 52, 59]),
    ],
)
def test_equally_spaced_frames_from_the_first_to_the_last(frames: int, shown: list[int]) -> None:
    sheet = strips("key", "words", [ramp(frames)])
    assert greys(sheet, sheet.height - 40, 0) == shown
    assert sheet.width == COLUMNS * (THUMB + 2)


def test_every_video_is_a_strip_with_its_name() -> None:
    videos = [ramp(8), ramp(8) + 100]
    plain, named = strips("key", "words", videos), strips("key", "words", videos, ("one", "two"))
    height = THUMB // 2
    left = named.width - plain.width
    assert left > 0
    for image, begin in ((plain, 0), (named, left)):
        assert greys(image, image.height - 40, begin)[0] == 110
        assert greys(image, image.height - 40 - height, begin)[0] == 10
    names = np.asarray(named)[-2 * height :, : left - 2]
    assert (names < 100).any()
    assert (names[:height] != names[height:][: len(names[:height])]).any()


def test_words_are_written_and_strange_letters_do_no_harm() -> None:
    sheets = [np.asarray(strips("key", words, [ramp(2)])) for words in ("", "a cat", "猫")]
    assert not np.array_equal(sheets[0], sheets[1])
    assert not np.array_equal(sheets[1], sheets[2])
    long = strips("key", "word " * 400, [ramp(2)])
    assert long.height == sheets[0].shape[0] + 16  # two lines at most


def test_sheets_are_stacked_on_white() -> None:
    wide, narrow = Image.new("RGB", (9, 4), "red"), Image.new("RGB", (5, 3), "blue")
    pixels = np.asarray(stack([wide, narrow]))
    assert pixels.shape == (7, 9, 3)
    assert (pixels[:4] == (255, 0, 0)).all()
    assert (pixels[4:, :5] == (0, 0, 255)).all()
    assert (pixels[4:, 5:] == 255).all()
