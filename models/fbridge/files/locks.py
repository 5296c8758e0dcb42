"""Locks that end with their process, so that a killed one keeps no other from its work."""

from __future__ import annotations

import errno
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

_WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP)


class HeldError(Exception):
    """Another process holds the lock."""


class Lock:
    """A lock on a file, held from now until it is released; `works` is false without locks.

    Some network file systems have no locks: then nothing is held, and nobody is kept out.

    Args:
        path: of the file, which is made; its folder must be there.

    Raises:
        HeldError: another process holds it.
        OSError: the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = FileLock(path)
        self.works = True
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise HeldError from None
        except NotImplementedError:
            self.works = False
        except OSError as error:
            if error.errno not in _WITHOUT_LOCKS:
                raise
            self.works = False

    def release(self) -> None:
        """Give the lock back, and remove its file."""
        with suppress(OSError):  # first: once it is given back, another process may hold it
            self._path.unlink()
        self._lock.release()
