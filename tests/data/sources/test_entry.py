from __future__ import annotations

import io
import os
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fbridge.data.sources import Media

CONTENT = bytes(range(256)) * 200  # longer than one buffer of a reader
NUMBERS = st.integers(0, len(CONTENT) + 10)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.integers(-1, 30_000)),
        st.tuples(st.just("readinto"), st.integers(0, 30_000)),
        st.tuples(st.just("set"), NUMBERS),
        st.tuples(st.just("end"), st.integers(-50, 50)),
        st.tuples(st.just("cur"), st.integers(-50, 50)),
    ),
    max_size=12,
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("window") / "shard.tar"
    path.write_bytes(CONTENT)
    return path


@given(offset=NUMBERS, size=st.none() | NUMBERS, steps=STEPS)
def test_a_window_is_a_slice(
    file: Path, offset: int, size: int | None, steps: list[tuple[str, int]]
) -> None:
    whole = CONTENT[offset:] if size is None else CONTENT[offset : offset + size]
    size_told = len(whole) if size is None else size
    twin = io.BytesIO(whole)
    with Media(str(file), offset, size).open() as window:
        for step, number in steps:
            if step == "read":
                assert window.read(number) == twin.read(number)
            elif step == "readinto":
                ours, theirs = bytearray(number), bytearray(number)
                assert window.readinto(ours) == twin.readinto(theirs)  # type: ignore[attr-defined]
                assert ours == theirs
            else:
                bases = {"set": 0, "end": size_told, "cur": twin.tell()}
                at = max(0, bases[step] + number)
                assert window.seek(at - bases[step], ["set", "cur", "end"].index(step)) == at
                twin.seek(at)
            assert window.tell() == twin.tell()


def test_a_window_cannot_be_written_or_read_before_its_start(file: Path) -> None:
    with Media(str(file), 10, 20).open() as window:
        assert window.seekable()
        assert window.readable()
        assert not window.writable()
        with pytest.raises((OSError, ValueError)):
            window.seek(-1)
        with pytest.raises((OSError, ValueError)):
            window.seek(-21, os.SEEK_END)
    assert window.closed


def test_size_and_time_are_those_of_the_video(file: Path) -> None:
    time = file.stat().st_mtime_ns
    assert Media(str(file)).stat() == (len(CONTENT), time)
    assert Media(str(file), 100).stat() == (len(CONTENT) - 100, time)
    assert Media(str(file), 100, 7).stat() == (7, time)
    with pytest.raises(OSError, match="absent"):
        Media(str(file.parent / "absent")).stat()


def test_media_travels_to_another_process(file: Path) -> None:
    media = pickle.loads(pickle.dumps(Media(str(file), 3, 4)))  # noqa: S301 - our own
    with media.open() as window:
        assert window.read() == CONTENT[3:7]
