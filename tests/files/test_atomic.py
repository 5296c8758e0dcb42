from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from safetensors import SafetensorError

from fbridge.errors import DependencyError
from fbridge.files.atomic import check_writable, replacing, shown, write_failure, write_text


def test_text_is_whole_or_absent(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.json"
    write_text(path, "old")

    def half() -> None:
        with replacing(path) as hidden:
            hidden.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half()
    assert path.read_text() == "old"
    write_text(path, "new")
    assert [entry.read_text() for entry in path.parent.iterdir()] == ["new"]


def test_new_files_have_usual_rights(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "x")
    (tmp_path / "b").write_text("x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_interrupted_swap_of_folders_keeps_the_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "clip"
    target.mkdir()
    (target / "frame_0000.png").write_text("old")
    rename = Path.rename

    def stumble(self: Path, to: Path) -> Path:
        if self.name.endswith(".part") and to == target and (self / "frame_0001.png").exists():
            raise KeyboardInterrupt
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", stumble)

    def renew() -> None:
        with replacing(target) as hidden:
            hidden.mkdir()
            (hidden / "frame_0001.png").write_text("new")

    with pytest.raises(KeyboardInterrupt):
        renew()
    assert (target / "frame_0000.png").read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_writable_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_writable(tmp_path / "not" / "yet")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("x")
    with pytest.raises(DependencyError, match="file: is a file, not a folder; name a folder"):
        check_writable(tmp_path / "file")
    with pytest.raises(DependencyError, match="file: is a file, not a folder"):
        check_writable(tmp_path / "file" / "sub")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(DependencyError, match="writing there is not permitted; choose another"):
        check_writable(tmp_path)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.ENAMETOOLONG, errno.EIO, 9999])
def test_failures_are_one_line(number: int) -> None:
    line = str(write_failure(Path("a/b.mp4"), OSError(number, "odd")))
    assert line.startswith("a/b.mp4: cannot be written: ")
    assert "\n" not in line


def test_too_long_a_name(tmp_path: Path) -> None:
    with pytest.raises(DependencyError, match="the name is too long for this file system"):
        write_text(tmp_path / ("a" * 300), "x")


def test_names_that_are_no_text_can_be_shown() -> None:
    assert shown(os.fsdecode(b"caf\xe9.png")) == "caf\N{REPLACEMENT CHARACTER}.png"


def test_a_full_disk_is_told_also_where_safetensors_meets_it(tmp_path: Path) -> None:
    with pytest.raises(DependencyError, match="no room is left"), replacing(tmp_path / "x"):
        raise SafetensorError(
            "Error while serializing: I/O error: No space left on device (os error 28)"
        )
    with pytest.raises(SafetensorError, match="header"), replacing(tmp_path / "x"):
        raise SafetensorError("header too large")
    assert list(tmp_path.iterdir()) == []
