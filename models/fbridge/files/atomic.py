"""Files that are whole or absent: written under a hidden name beside the target, then renamed."""

from __future__ import annotations

import errno
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from safetensors import SafetensorError

from fbridge.errors import ConfigError, DependencyError

HIDDEN_NAME = re.compile(r"\.fbridge-[0-9a-f]{12}\.part")
"""What a file is called until it is whole; a killed program leaves such ones behind."""
FRAME_NAME = re.compile(r"frame_\d{4,}\.png")
"""What `write_video` calls the pictures of a folder of frames."""

_REASONS = {
    errno.ENOSPC: "no room is left on the device; free some space or choose another folder",
    errno.EDQUOT: "your quota is used up; free some space or choose another folder",
    errno.EFBIG: "the file would be larger than this system allows; choose another folder",
    errno.EACCES: "writing there is not permitted; choose another folder",
    errno.EPERM: "writing there is not permitted; choose another folder",
    errno.EROFS: "that file system is read-only; choose another folder",
    errno.ENOENT: "its folder does not exist; create it or choose another folder",
    errno.ENOTDIR: "a part of that path is a file, not a folder; choose another folder",
    errno.EEXIST: "a file has the name of its folder; choose another folder",
    errno.ENAMETOOLONG: "the name is too long for this file system; choose a shorter one",
    errno.EIO: "the device reports an error; choose another folder",
}


_SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")


def shown(path: object) -> str:
    """A path or URL as text that any terminal and any JSON file can carry."""
    return os.fsencode(str(path)).decode("utf-8", errors="replace")


def write_failure(path: Path, error: OSError) -> DependencyError:
    """The one line that says why `path` could not be written."""
    reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
    return DependencyError(f"{shown(path)}: cannot be written: {reason}")


def check_writable(folder: Path) -> None:
    """Try `folder`, or the nearest one above it that exists, with an empty file.

    Raises:
        DependencyError: when nothing can be written there.
    """
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise DependencyError(f"{shown(there)}: is a file, not a folder; name a folder")
    probe = there / _hidden_name()
    try:
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise write_failure(there, error) from None


def is_frame_folder(folder: Path) -> bool:
    """Whether `folder` is a real folder holding nothing but frames that `write_video` made."""
    return (
        folder.is_dir()
        and not folder.is_symlink()
        and all(FRAME_NAME.fullmatch(entry.name) for entry in folder.iterdir())
    )


def taken(path: Path) -> ConfigError:
    """The error of a name that is not free, where nothing may be replaced."""
    return ConfigError(f"{shown(path)}: exists already and stays; give another name with -o")


@contextmanager
def replacing(path: Path, *, overwrite: bool = True) -> Iterator[Path]:
    """A hidden path beside `path` that takes its place at the end, or vanishes on any exception.

    The body makes a file or a folder there; missing folders above it are created. An existing file
    is replaced in one step; an existing folder only if it holds nothing but frames.

    Args:
        path: of the file or folder.
        overwrite: False replaces nothing, also not what another process makes meanwhile.

    Raises:
        ConfigError: something has that name at the end, and must not be replaced.
        DependencyError: when the system refuses to write (no room, no permission, ...).
    """
    hidden = path.with_name(_hidden_name())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield hidden
        if hidden.is_dir():
            _take_place_of_folder(hidden, path, overwrite=overwrite)
        else:
            _sync(hidden)
            if overwrite:
                hidden.replace(path)
            else:
                _take_free_place(hidden, path)
    except OSError as error:
        raise write_failure(path, error) from None
    except SafetensorError as error:
        code = _SYSTEM_ERROR.search(str(error))  # it says no otherwise what the system refused
        if code is None:
            raise
        raise write_failure(path, OSError(int(code[1]), str(error))) from error
    finally:
        _discard(hidden)
    with suppress(OSError):  # a folder cannot be synced on every system
        _sync(path.parent)


def scratch_file(folder: Path) -> IO[bytes]:
    """A file without a name on the disk of a folder; it is gone when it is closed.

    Raises:
        DependencyError: when the system refuses to make it.
    """
    try:
        return TemporaryFile(dir=folder, prefix=".fbridge-")
    except OSError as error:
        raise write_failure(folder, error) from None


def discard_scratch(file: IO[bytes]) -> None:
    """Close a scratch file, also one whose last bytes the system refused."""
    with suppress(OSError):
        file.close()


def write_text(path: Path, text: str, *, overwrite: bool = True) -> None:
    """Write `text` as UTF-8, whole or not at all; `overwrite` as for `replacing`."""
    with replacing(path, overwrite=overwrite) as hidden:
        hidden.write_text(text, encoding="utf-8")


def _hidden_name() -> str:
    return f".fbridge-{uuid.uuid4().hex[:12]}.part"


def remove_leftovers(folder: Path) -> None:
    """Remove what killed programs left in a folder where no other program writes."""
    for path in list(folder.rglob(".fbridge-*.part")):
        if HIDDEN_NAME.fullmatch(path.name):
            _discard(path)


def _take_free_place(hidden: Path, path: Path) -> None:
    """Give a file its name in one step, unless another file has it."""
    try:
        try:
            os.link(hidden, path)
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links: an empty file keeps the name
            path.open("xb").close()
            hidden.replace(path)
    except FileExistsError:
        raise taken(path) from None


def _take_place_of_folder(hidden: Path, path: Path, *, overwrite: bool) -> None:
    for entry in hidden.iterdir():
        _sync(entry)
    if not overwrite and os.path.lexists(path):
        raise taken(path)
    if not path.exists():
        try:
            hidden.rename(path)
        except OSError:
            if not overwrite and os.path.lexists(path):  # made meanwhile
                raise taken(path) from None
            raise
        return
    if not is_frame_folder(path):
        raise DependencyError(
            f"{shown(path)}: holds other things than frames, so it stays; name another folder"
        )
    old = path.with_name(_hidden_name())
    path.rename(old)
    try:
        hidden.rename(path)
    except BaseException:
        old.rename(path)
        raise
    _discard(old)


def _discard(path: Path) -> None:
    """Remove a file or folder that may be absent; what cannot be removed is left."""
    with suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
