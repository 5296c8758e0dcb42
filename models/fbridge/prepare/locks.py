"""File locks by which the processes of a run see which others are alive.

No process waits for another while it has work left, and the work of a process that died is done by
the others.
"""

from __future__ import annotations

from pathlib import Path

from fbridge.data.latents.format import JOURNAL
from fbridge.errors import DataError, DependencyError
from fbridge.files.atomic import shown, write_failure
from fbridge.files.locks import HeldError, Lock
from fbridge.prepare.request import Rank


class RankLock:
    """The lock of this process in the data set's folder, held until the context ends.

    Raises:
        DataError: a process with this number is already running in the folder.
        DependencyError: there are several processes, and the file system has no locks.
    """

    def __init__(self, out: Path, rank: Rank) -> None:
        self._folder = out / JOURNAL
        self._rank = rank
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._own = Lock(self._path(rank.number))
        except HeldError:
            raise DataError(
                f"{shown(out)}: another fbridge prepare is at work there; wait for it or stop it"
            ) from None
        except OSError as error:
            raise write_failure(out, error) from None
        if rank.world > 1 and not self._own.works:
            raise DependencyError(
                f"{shown(out)}: several processes need file locks, which this file system lacks; "
                "start one process, or choose a folder on another file system"
            )

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
            Lock(path).release()
        except HeldError:
            return True
        return False

    def _path(self, number: int) -> Path:
        return self._folder / f"rank-{number:05d}.lock"
