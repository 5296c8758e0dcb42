from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from safetensors import SafetensorError

from fbridge.errors import ConfigError, DependencyError
from fbridge.files.atomic import (
    check_writable,
    remove_leftovers,
    replacing,
    shown,
    write_failure,
    write_text,
)


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


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("rival", ["file", "folder", "broken link"])
def test_what_another_program_made_meanwhile_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rival: str, links: bool
) -> None:
    if not links:  # as on FAT

        def refuse(*_: object) -> None:
            raise PermissionError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "cat.mp4"

    def race() -> None:
        with replacing(path, overwrite=False) as hidden:
            hidden.write_text("ours")
            if rival == "file":
                path.write_text("theirs")
            elif rival == "folder":
                path.mkdir()
            else:
                path.symlink_to(tmp_path / "nowhere")

    with pytest.raises(ConfigError, match=r"cat\.mp4: exists already and stays"):
        race()
    assert [entry.name for entry in tmp_path.iterdir()] == ["cat.mp4"]
    assert rival != "file" or path.read_text() == "theirs"
    write_text(tmp_path / "new", "ours", overwrite=False)
    assert (tmp_path / "new").read_text() == "ours"


def test_a_folder_made_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "clip"

    def race() -> None:
        with replacing(path, overwrite=False) as hidden:
            hidden.mkdir()
            (hidden / "frame_0000.png").write_text("ours")
            path.mkdir()
            (path / "frame_0000.png").write_text("theirs")

    with pytest.raises(ConfigError, match="clip: exists already"):
        race()
    assert (path / "frame_0000.png").read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_above_the_target_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(DependencyError, match=r"a\.txt: cannot be written: a file has the name of"):
        write_text(tmp_path / "file" / "a.txt", "x")
    with pytest.raises(DependencyError, match="a part of that path is a file"):
        write_text(tmp_path / "file" / "sub" / "a.txt", "x")


def test_what_cannot_be_removed_does_not_hide_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    for name in ("unlink", "open"):
        monkeypatch.setattr(Path, name, refuse)
    with pytest.raises(DependencyError, match="that file system is read-only"):
        write_text(tmp_path / "a.txt", "x")


def test_only_leftovers_are_removed(tmp_path: Path) -> None:
    left = [tmp_path / f".fbridge-{digit * 12}.part" for digit in "ab"]
    left[0].write_text("x")
    left[1].mkdir()
    (left[1] / "frame_0000.png").write_text("x")
    kept = [tmp_path / "deep", tmp_path / "deep" / ".fbridge-.part", tmp_path / ".fbridge-mine"]
    kept[0].mkdir()
    for path in (*kept[1:], kept[0] / left[0].name):
        path.write_text("x")
    remove_leftovers(tmp_path)
    assert sorted(tmp_path.rglob("*")) == sorted(kept)
