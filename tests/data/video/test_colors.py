"""Colour tags: those that cannot be true are not used, those that cannot be converted are named."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from fbridge.data.video.buckets import Bucket
from fbridge.data.video.colors import hdr, ignored_tag
from fbridge.data.video.decode import DecodedFrame
from fbridge.data.video.resize import Scaler
from fbridge.errors import DataError


def tagged(matrix: int, pixels: str = "yuv420p", transfer: int = 2) -> av.VideoFrame:
    image = np.broadcast_to(np.array((200, 60, 30), np.uint8), (32, 32, 3))
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    frame = frame.reformat(format=pixels)
    frame.colorspace, frame.color_trc = matrix, transfer
    return frame


def converted(frame: av.VideoFrame) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return Scaler(Bucket(32, 32, 1))(DecodedFrame(0, frame, Fraction(1)))


@pytest.mark.parametrize("matrix", [0, 3])
def test_an_impossible_tag_is_as_none(matrix: int) -> None:
    frame = tagged(matrix)
    np.testing.assert_array_equal(converted(frame), converted(tagged(2)))
    assert ignored_tag(frame)


@pytest.mark.parametrize(("matrix", "pixels"), [(0, "gbrp"), (0, "rgb24"), (1, "yuv420p")])
def test_a_possible_tag_is_used(matrix: int, pixels: str) -> None:
    frame = tagged(matrix, pixels)
    assert not ignored_tag(frame)
    if pixels != "yuv420p":
        assert np.abs(converted(frame).astype(int) - (200, 60, 30)).max() <= 1


@pytest.mark.parametrize("matrix", [8, 10, 11, 12, 13, 14, 15, 16, 17])
def test_a_matrix_that_is_not_converted_is_an_error(matrix: int) -> None:
    """As ffmpeg's scaler refuses it, with "Operation not supported"."""
    with pytest.raises(DataError, match=r"has the colour matrix .+; convert it to BT\.709"):
        converted(tagged(matrix))


def test_any_other_refusal_names_the_format() -> None:
    frame = tagged(2)
    frame.color_range = 4
    with pytest.raises(DataError, match="has frames of yuv420p that cannot become RGB"):
        converted(frame)


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG"), (1, ""), (2, "")])
def test_transfer_functions(transfer: int, name: str) -> None:
    assert hdr(tagged(1, transfer=transfer)) == name
