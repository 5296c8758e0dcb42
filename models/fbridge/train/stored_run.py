"""A run's folder in a store and its copy on this machine; `stored` trains in them.

The store has what the folder has. What belongs to a checkpoint arrives before it, as the curves up
to its step, and of a checkpoint `checkpoint.json` last: so one of which a part is missing is none,
and one that is there is all that a run needs to go on. Checkpoints that are not gone on from are
files of holes in the folder, so that a machine that takes over a run fetches one of them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from filelock import FileLock

from fbridge.data.stores import MissingError, ObjectError, Store, StoreUrl
from fbridge.data.stores.kept import RESULTS, download_all, is_there
from fbridge.data.stores.scratch import stores_folder
from fbridge.data.stores.store import Item
from fbridge.errors import CheckpointError, ConfigError
from fbridge.files.atomic import replacing, write_failure
from fbridge.train.checkpoints.reading import (
    INDEX,
    NAME,
    newest_whole,
    read_checkpoint,
    verified,
)
from fbridge.train.place import RunPlace
from fbridge.train.request import ALONE, RUN_FACTS, Launch
from fbridge.train.run_files import LOCK, locked_run

_PERHAPS = (-1, -1)
"""Size and time of a file that may have arrived."""
_COPIED = 2**24
"""Bytes up to which a file outside of checkpoints is copied before it leaves: it may grow."""


class StoredRun:
    """A run's folder in a store, and its copy on this machine.

    Attributes:
        folder: the copy.
    """

    def __init__(self, url: StoreUrl) -> None:
        self.url, self.folder = url, local_folder(url)
        self._store = Store(url)
        self._known: dict[str, tuple[int, int]] = {}

    def is_there(self) -> bool:
        """Whether the store has a run of that name."""
        return RUN_FACTS in self._there()

    def check_free(self, *, wanted: bool) -> None:
        """Before the work: that the store takes files, and has no run unless it is `wanted`.

        Raises:
            ConfigError: it does not, or has.
            StoreError: it does not answer.
        """
        there = self._there()
        if there and not wanted:
            steps = [step for step in map(_step_of, there) if step is not None]
            what = f"has a run at step {max(steps)}" if steps else "is not empty"
            way = "add --resume to go on with it, or " if steps or RUN_FACTS in there else ""
            raise ConfigError(f"{self.url}: {what}; {way}name another folder with -o")
        self._store.check_writable("-o")
        self._know(there)

    def fetch(self, step: int | None = None, launch: Launch = ALONE) -> None:
        """Bring the copy to what the store has, unless it is of a later step, by a killed run.

        Of checkpoints that of `step`, or the newest whole one, is fetched. Processes of one machine
        may call this at once. Those of several have what the store has: copies of later steps go.

        Args:
            step: of the checkpoint.
            launch: the processes of the run, of which only the first of a machine empties its copy.

        Raises:
            CheckpointError: of several machines: the store has no checkpoint of that step.
            ConfigError: a training is at work in a copy that would have to go.
            DependencyError: the cache cannot be written.
            StoreError: the store does not answer.
        """
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise write_failure(self.folder.parent, error) from None
        with FileLock(self.folder.parent / "fetch.lock"):
            there = self._there()
            steps = {found for name in there if (found := _step_of(name)) is not None}
            if step is not None and step not in steps:
                if launch.one_machine:
                    return  # `find_resume` says which there are here
                known = ", ".join(map(str, sorted(steps))) or "none"
                raise CheckpointError(
                    f"{self.url}: has no checkpoint of step {step}; there are: {known}"
                )
            if self._has(max(steps, default=0), step, one_machine=launch.one_machine):
                return
            if not self._empty(there, launch):
                return  # the first process of this machine has brought it, and goes on
            plain = [item for name, item in there.items() if not _in_checkpoint(name)]
            new = [item for item in plain if not is_there(self.folder, item)]
            download_all(self._store, new, self.folder)
            self._fetch_checkpoints(there, steps, step)

    def push(self) -> None:
        """Upload what is new or has changed, and remove checkpoints that are gone.

        Raises:
            DependencyError: this machine's disk is full.
            StoreError: the store does not take it.
        """
        files = {path.relative_to(self.folder).as_posix(): path for path in self._files()}
        steps = [step for name in files if (step := _step_of(name)) is not None]
        gone = [name for name in self._known if _in_checkpoint(name) and name not in files]
        # Of a run that went on from an older checkpoint, nobody goes on from the newer ones.
        new = any(_step_of(name) is not None and name not in self._known for name in files)
        ahead = [name for name in gone if new and (_folder_of(name) or 0) > max(steps)]
        self._remove(ahead)
        for name in sorted(files, key=_order):
            try:
                self._upload(files[name], name)
            except (FileNotFoundError, ObjectError):
                if files[name].exists():
                    raise
                continue  # a checkpoint that was removed meanwhile
        self._remove(name for name in gone if name not in ahead)

    def _remove(self, names: Iterable[str]) -> None:
        """Remove files of checkpoints from the store, of each its index first."""
        found = sorted(names, key=_order, reverse=True)
        self._store.remove(found)
        for name in found:
            self._known.pop(name, None)

    def clean(self) -> None:
        """Remove the copy: the store has all of it."""
        shutil.rmtree(self.folder.parent, ignore_errors=True)

    def _empty(self, there: dict[str, Item], launch: Launch) -> bool:
        """Remove a copy of something else; false where it is this launch's, and at work already.

        Raises:
            ConfigError: another training is at work in it.
        """
        files = (path for path in self.folder.rglob("*") if path.is_file() and path.name != LOCK)
        names = (path.relative_to(self.folder).as_posix() for path in files)
        same = all(name in there and is_there(self.folder, there[name]) for name in names)
        if same and not any(map(_in_checkpoint, there)):  # of which holes look the same
            return True  # there is none, or another process of this launch has just brought it
        try:
            with locked_run(self.folder):
                shutil.rmtree(self.folder, ignore_errors=True)
        except ConfigError as error:
            if not launch.first_here:
                return False
            raise ConfigError(RunPlace(self.folder, self.url).told(str(error))) from None
        return True

    def _has(self, newest: int, step: int | None, *, one_machine: bool) -> bool:
        """Whether the copy has what is to be gone on from, and no holes in it.

        Args:
            newest: step in the store.
            step: that is wanted; else the newest or, on one machine, a later one.
            one_machine: whether nobody else must have the same.
        """
        if not self.folder.is_dir():
            return False
        if step is None:
            here = newest_whole(self.folder).checkpoint
            found = -1 if here is None else here.step
            return found >= newest if one_machine else found == newest
        try:
            return bool(verified(read_checkpoint(self.folder / f"checkpoint-{step}")))
        except CheckpointError:
            return False

    def _there(self) -> dict[str, Item]:
        try:
            return {item.name: item for item in self._store.items()}
        except MissingError:  # a folder of a store is there as soon as a file is in it
            return {}

    def _know(self, there: dict[str, Item]) -> None:
        """Remember which files of the copy are those of the store: of its size and not newer.

        And what the store has of checkpoints that the copy has not, such as a half of one whose
        machine went while it left: it goes with the next one that leaves.
        """
        self._known = {name: _PERHAPS for name in there if _in_checkpoint(name)}
        for path in self._files():
            item = there.get(path.relative_to(self.folder).as_posix())
            facts = path.stat()
            if item and facts.st_size == item.size and facts.st_mtime_ns <= item.stamp:
                self._known[item.name] = (facts.st_size, facts.st_mtime_ns)

    def _files(self) -> Iterator[Path]:
        """All that leaves: no locks and nothing half-written."""
        for path in self.folder.rglob("*"):
            names = path.relative_to(self.folder).parts
            if not any(name.startswith(".") for name in names) and path.is_file():
                yield path

    def _upload(self, path: Path, name: str) -> None:
        facts = path.stat()
        state = facts.st_size, facts.st_mtime_ns
        if self._known.get(name) == state:
            return
        self._known[name] = _PERHAPS  # so that it is removed, if what follows fails half-way
        if _in_checkpoint(name) or facts.st_size > _COPIED:
            self._store.upload(path, name)
        else:
            copy = self.folder / f".leaving-{path.name}"
            content = path.read_bytes()
            try:
                copy.write_bytes(content)
            except OSError as error:
                raise write_failure(copy, error) from None
            self._store.upload(copy, name)
            copy.unlink()
        self._known[name] = state

    def _fetch_checkpoints(self, there: dict[str, Item], steps: set[int], step: int | None) -> None:
        """The one to go on from with its tensors, the others as holes."""
        left = sorted(steps if step is None else steps & {step}, reverse=True)
        for number in sorted(steps):
            items = [item for name, item in there.items() if _folder_of(name) == number]
            index = [item for item in items if _step_of(item.name) is not None]
            download_all(self._store, index, self.folder)
            for item in items:
                if item not in index:
                    self._hole(item)
        for number in left:
            items = [item for name, item in there.items() if _folder_of(name) == number]
            download_all(self._store, items, self.folder)
            with suppress(CheckpointError):
                verified(read_checkpoint(self.folder / f"checkpoint-{number}"))
                return  # else an older one, and `find_resume` says which are damaged

    def _hole(self, item: Item) -> None:
        path = self.folder / item.name
        with replacing(path) as hidden, hidden.open("wb") as file:
            os.truncate(file.fileno(), item.size)
        os.utime(path, ns=(item.stamp, item.stamp))


def local_folder(url: StoreUrl) -> Path:
    """The copy on this machine, of the run's own name."""
    name = f"training-{hashlib.sha256(str(url).encode()).hexdigest()[:12]}"
    return stores_folder() / name / url.name


def _folder_of(name: str) -> int | None:
    """The step of the checkpoint that a file is in."""
    match = NAME.fullmatch(name.partition("/")[0])
    return None if match is None else int(match[1])


def _in_checkpoint(name: str) -> bool:
    return _folder_of(name) is not None


def _step_of(name: str) -> int | None:
    """The step of the checkpoint whose index a file is: it is the last to come."""
    return _folder_of(name) if name.endswith(f"/{INDEX}") else None


def _order(name: str) -> tuple[int, int, bool, str]:
    """Curves and their like, then checkpoints, the newest first, each index last; then results."""
    step = _folder_of(name)
    if step is not None:
        return 1, -step, name.endswith(f"/{INDEX}"), name
    late = name.partition("/")[0] in (*RESULTS, "validation")
    return (2 if late else 0), 0, name.endswith("model_index.json"), name
