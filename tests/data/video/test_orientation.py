"""All eight orientations in which a stored picture may be shown, in every decoder."""

from __future__ import annotations

import gc
from fractions import Fraction
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from PIL import Image

from fbridge.data.video import orientation
from fbridge.data.video.buckets import Bucket
from fbridge.data.video.clip import decode_clip
from fbridge.data.video.clip_sampling import ClipSampling
from fbridge.data.video.survey import survey_file
from fbridge.data.video_files import read_video
from tests.data.video.films import Film, encode, film, orient

TURNS = list(product((False, True), (1, -1), (1, -1)))


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Film:
    return encode(tmp_path_factory.mktemp("wide") / "wide.mp4", film(3, 96, 64))


@pytest.mark.parametrize("decoder", ["pyav", "decord"])
@pytest.mark.parametrize(("transposed", "x", "y"), TURNS)
def test_all_eight_orientations(wide: Film, decoder: str, transposed: bool, x: int, y: int) -> None:
    pytest.importorskip(decoder if decoder == "decord" else "av")
    source = orient(wide, 0, y, x, 0) if transposed else orient(wide, x, 0, 0, y)
    plain = decode_clip(wide, (0, 512, 1024), Bucket(96, 64, 3), decoder).frames
    expected = plain.swapaxes(1, 2) if transposed else plain
    expected = expected[:, ::y, ::x]
    survey = survey_file(source, ClipSampling((Bucket(32, 32, 3),), decoder=decoder))
    assert (survey.width, survey.height) == ((64, 96) if transposed else (96, 64))
    assert ("shown mirrored" in survey.notes) == (transposed == (x * y > 0))
    bucket = Bucket(survey.width, survey.height, 3)
    frames = decode_clip(source, survey.cuts[0].pts, bucket, decoder).frames
    np.testing.assert_array_equal(frames, expected)
    np.testing.assert_array_equal(read_video(source.path, decoder=decoder).frames, expected)


def test_a_matrix_without_a_direction_is_upright(wide: Film) -> None:
    survey = survey_file(orient(wide, 0, 0, 0, 0), ClipSampling((Bucket(32, 32, 3),)))
    assert (survey.width, survey.height) == (96, 64)


@pytest.mark.parametrize("decoder", ["pyav", "decord"])
def test_an_orientation_that_only_the_stream_says(tmp_path: Path, decoder: str) -> None:
    """MrNeRF/LichtFeld-Studio#1416: it is in the frames' side data and not in the file's header."""
    pytest.importorskip(decoder if decoder == "decord" else "av")
    plain = encode(tmp_path / "plain.mp4", film(2, 96, 64))
    with av.open(str(tmp_path / "sei.mp4"), "w") as target, av.open(str(plain.path)) as one:
        stream = one.streams.video[0]
        bits = BitStreamFilterContext("h264_metadata=display_orientation=insert:rotate=180", stream)
        track = target.add_stream_from_template(stream)
        for packet in [packet for found in one.demux(stream) for packet in bits.filter(found)]:
            packet.stream = track
            target.mux(packet)
    turned = read_video(tmp_path / "sei.mp4", decoder=decoder).frames
    expected = read_video(plain.path, decoder=decoder).frames[:, ::-1, ::-1]
    np.testing.assert_array_equal(turned, expected)


def test_decoded_frames_do_not_wait_for_the_collector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyAV 18.1 makes a cycle of each frame whose side data is looked at."""
    source = encode(tmp_path / "many.mp4", film(40, 96, 64))
    stamps = tuple(range(0, 40 * 512, 512))
    gc.collect()
    gc.disable()
    try:
        decode_clip(source, stamps, Bucket(96, 64, 40), "pyav")
        assert frames_alive() <= 4, "key frames alone are looked at"
        monkeypatch.setattr(orientation, "_MOST_HELD", 96 * 64 * 3 * 8)
        for _ in range(40):
            decode_clip(source, stamps[:1], Bucket(96, 64, 1), "pyav")
            assert frames_alive() <= 20
    finally:
        gc.enable()


def frames_alive() -> int:
    return sum(type(one) is av.VideoFrame for one in gc.get_objects())


def test_side_data_that_pyav_does_not_know(tmp_path: Path) -> None:
    """Motion JPEG of cameras holds EXIF, at which PyAV 18.1's `side_data` raises."""
    exif = Image.Exif()
    exif[0x0112] = 5  # transposed
    data = BytesIO()
    Image.fromarray(film(1, 96, 64)[0]).save(data, "JPEG", exif=exif, quality=95)
    with av.open(str(tmp_path / "camera.avi"), "w") as container:
        stream = cast(Any, container.add_stream("mjpeg", rate=10))
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuvj420p"
        for number in range(2):
            packet = av.Packet(data.getvalue())
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 10), True
            packet.pts = packet.dts = number
            container.mux(packet)
    frames = read_video(tmp_path / "camera.avi").frames
    assert frames.shape == (2, 96, 64, 3)
    assert np.abs(frames[0].astype(int) - film(1, 96, 64)[0].swapaxes(0, 1)).mean() < 4
