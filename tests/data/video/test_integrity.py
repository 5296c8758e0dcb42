"""Whole files without the mark or size that says so, and files that are cut at any place."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest

from fbridge.data.video.buckets import Bucket
from fbridge.data.video.clip_sampling import ClipSampling
from fbridge.data.video.integrity import Ending, read_ending
from fbridge.data.video.survey import survey_file
from tests.data.video.conftest import Shelf
from tests.data.video.films import Film, encode, film

EIGHT = ClipSampling((Bucket(64, 64, 8),))


def ending(data: bytes) -> Ending:
    return read_ending(BytesIO(data), len(data))


def sized(data: bytes, riff: int | None = None, movi: int | None = None) -> bytes:
    """An AVI with other sizes of its RIFF chunk and of the list of its frames."""
    changed = bytearray(data)
    for place, size in ((4, riff), (data.index(b"movi") - 4, movi)):
        if size is not None:
            changed[place : place + 4] = size.to_bytes(4, "little")
    return bytes(changed)


@pytest.fixture(scope="module")
def avi(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("avi") / "film.avi"
    return encode(path, film(8, 64, 64), codec="mpeg4").path.read_bytes()


@pytest.mark.parametrize("unknown", [0, 0xFFFFFFFF])
def test_an_avi_whose_sizes_are_unknown(avi: bytes, tmp_path: Path, unknown: int) -> None:
    """As ffmpeg writes it into a pipe, without an index; pdeljanov/Symphonia#327."""
    piped = sized(avi[: avi.index(b"idx1")], unknown, unknown)
    assert ending(piped) is Ending.UNMARKED
    assert ending(piped[:-5]) is Ending.CUT
    (tmp_path / "piped.avi").write_bytes(piped)
    survey = survey_file(Film(tmp_path / "piped.avi"), EIGHT)
    assert survey.frames == 8
    assert survey.notes == ("no end mark",)


def test_an_avi_whose_sizes_are_a_little_too_large(avi: bytes) -> None:
    """godotengine/godot#120569: writers that count the header twice."""
    assert ending(avi) is Ending.WHOLE
    assert ending(sized(avi, riff=len(avi))) is Ending.UNMARKED
    movi = avi.index(b"idx1") - avi.index(b"movi")
    assert ending(sized(avi, riff=len(avi), movi=movi + 9999)) is Ending.UNMARKED


def test_an_avi_that_is_cut_anywhere_in_its_frames(avi: bytes) -> None:
    start, end = avi.index(b"movi") + 4, avi.index(b"idx1")
    for size in range(start, end - 1):
        assert ending(avi[:size]) is Ending.CUT, size
    assert ending(avi[: end + 30]) is Ending.UNMARKED


def test_a_second_chunk_of_an_avi_that_is_cut(avi: bytes) -> None:
    """OpenDML: films of more than a gigabyte go on in further RIFF chunks."""
    more = b"RIFF" + (len(avi) - 8).to_bytes(4, "little") + b"AVIX" + avi[12:]
    assert ending(avi + more) is Ending.WHOLE
    assert ending(avi + more[: len(more) // 2]) is Ending.CUT


def test_a_gif_without_its_last_byte(shelf: Shelf, tmp_path: Path) -> None:
    """image-rs/image-gif#138; browsers show all its frames."""
    data = shelf("film.gif").path.read_bytes()
    assert ending(data[:-1] + bytes(5)) is Ending.UNMARKED
    assert ending(data[:-2]) is Ending.CUT
    (tmp_path / "a.gif").write_bytes(data[:-1])
    survey = survey_file(Film(tmp_path / "a.gif"), EIGHT)
    assert (survey.frames, survey.notes) == (40, ("no end mark",))
