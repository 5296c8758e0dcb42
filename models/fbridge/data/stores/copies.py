"""Local copies of what is worked on: fetched once, kept while there is room, shared by threads."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock


@dataclass
class _Copy:
    path: Path
    size: int
    ready: Future[None] = field(default_factory=Future)
    users: int = 1


class Copies:
    """Files in one folder, of at most `limit` bytes besides those in use.

    The folder belongs to this process. Of files that nobody uses, those go first whose use is the
    longest ago.

    Args:
        folder: where they are kept; it is there.
        limit: in bytes.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._lock = Lock()
        self._copies: OrderedDict[str, _Copy] = OrderedDict()
        self._number = 0

    def take(self, key: str, size: int, fetch: Callable[[Path], None]) -> Path:
        """The copy called `key`, in use until `give_back`; fetched unless it is there.

        Args:
            key: what it is a copy of.
            size: in bytes.
            fetch: writes it to a path; what it raises is raised here.
        """
        with self._lock:
            copy = self._copies.get(key)
            mine = copy is None
            if copy is None:
                self._number += 1
                copy = _Copy(self._folder / f"{self._number:08d}", size)
                self._copies[key] = copy
                self._shrink()
            else:
                copy.users += 1
                self._copies.move_to_end(key)
        if not mine:
            copy.ready.result()
            return copy.path
        try:
            fetch(copy.path)
        except BaseException as error:
            with self._lock:
                del self._copies[key]
            copy.ready.set_exception(error)
            raise
        copy.ready.set_result(None)
        return copy.path

    def give_back(self, key: str) -> None:
        """End one use."""
        with self._lock:
            self._copies[key].users -= 1
            self._shrink()

    @property
    def full(self) -> bool:
        """Whether the copies in use alone reach the limit."""
        with self._lock:
            return sum(copy.size for copy in self._copies.values() if copy.users) >= self._limit

    def _shrink(self) -> None:
        total = sum(copy.size for copy in self._copies.values())
        for key, copy in list(self._copies.items()):
            if total <= self._limit:
                return
            if copy.users == 0:
                with suppress(OSError):
                    copy.path.unlink()
                total -= copy.size
                del self._copies[key]
