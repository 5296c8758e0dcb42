"""File locks by which the processes of a run see which others are alive.

No process waits for another while it has work left, and the work of a process that died is done by
the others.
"""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout

from fbridge.data.latents.format import JOURNAL
from fbridge.errors import DataError
from fbridge.files.atomic import shown, write_failure
from fbridge.prepare.request import Rank


class RankLock:
    """The lock of this process in the data set's folder, held until the context ends.

    Raises:
        DataError: a process with this number is already running in the folder.
    """

    def __init__(self, out: Path, rank: Rank) -> None:
        self._folder = out / JOURNAL
        self._rank = rank
        self._own = FileLock(self._path(rank.number))
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._own.acquire(timeout=0)
        except Timeout:
            raise DataError(
                f"{shown(out)}: another fbridge prepare is at work there; wait for it or stop it"
            ) from None
        except OSError as error:
            raise write_failure(out, error) from None

    def __enter__(self) -> RankLock:
        return self

    def __exit__(self, *_: object) -> None:
        self._own.release()

    def others_alive(self) -> bool:
        """Whether any other process of the run is alive."""
        others = (number for number in range(self._rank.world) if number != self._rank.number)
        return any(map(self._is_held, others))

    def _is_held(self, number: int) -> bool:
        path = self._path(number)
        if not path.is_file():
            return False
        try:
            with FileLock(path).acquire(timeout=0):
                return False
        except Timeout:
            return True

    def _path(self, number: int) -> Path:
        return self._folder / f"rank-{number:05d}.lock"
