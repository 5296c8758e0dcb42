"""A run behind a URL: made in a folder of the cache, from which its files follow into the store.

The store has what the folder has: of each checkpoint `checkpoint.json` last, so that one of which a
part is missing is none; then the other files. Files leave in a thread of their own, since the
processes of a run wait for each other. Checkpoints that are not gone on from are files of holes in
the folder, so that a machine that takes over a run fetches one of them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

from filelock import FileLock

from fbridge.data.stores import ObjectError, Store, StoreError, StoreUrl
from fbridge.data.stores.kept import download_all, keep
from fbridge.data.stores.scratch import stores_folder
from fbridge.data.stores.store import Item
from fbridge.errors import CheckpointError, ConfigError, DependencyError
from fbridge.files.atomic import replacing, write_failure
from fbridge.train import run as local
from fbridge.train.checkpoints.reading import (
    INDEX,
    NAME,
    newest_whole,
    read_checkpoint,
    verified,
)
from fbridge.train.events import Ended, Event, Saved, Validated, Warned
from fbridge.train.place import RunPlace
from fbridge.train.request import RUN_FACTS, TrainRequest
from fbridge.train.run_files import locked_run

_PERHAPS = (-1, -1)
"""Size and time of a file that may have arrived."""
_COPIED = 2**24
"""Bytes up to which a file outside of checkpoints is copied before it leaves: it may grow."""


def run(
    request: TrainRequest,
    *,
    stop: Callable[[], bool] = bool,
    command_line: str = "",
    first: bool = True,
) -> Generator[Event]:
    """Train as `fbridge.train.run.run` does, in a folder or into a store.

    A store that does not answer during the run is a warning, and what is missing there follows with
    the next checkpoint; at the end it is an error, and the folder stays for `--resume`.

    Raises:
        FBridgeError: as there; StoreError at the end.
    """
    events = local.run(request, stop=stop, command_line=command_line, first=first)
    if request.store is None or request.dry_run or not first:
        yield from events
        return
    stored = StoredRun(request.store)
    stored.check_free(wanted=request.resume)
    with closing(events), ThreadPoolExecutor(1) as thread:
        leaving: Future[None] | None = None
        for event in events:
            if isinstance(event, Warned):
                event = Warned(request.place.told(event.text))
            if isinstance(event, Ended):
                yield from _failed(leaving)
                _push_last(stored)
                if not event.stopped:
                    stored.clean()
            yield event
            if isinstance(event, Saved | Validated) and (leaving is None or leaving.done()):
                yield from _failed(leaving)
                leaving = thread.submit(stored.push)


def _failed(leaving: Future[None] | None) -> Iterator[Warned]:
    """Wait for files that leave; a warning if they could not."""
    try:
        if leaving is not None:
            leaving.result()
    except (StoreError, DependencyError) as error:
        yield Warned(f"{error}; training goes on, and files follow with the next checkpoint")


def _push_last(stored: StoredRun) -> None:
    try:
        stored.push()
    except StoreError as error:
        why = str(error).partition("; ")[0]
        raise StoreError(
            f"{why}; what is missing there is on this machine: the same line with --resume uploads "
            "it when the store answers"
        ) from error


def fetched(url: StoreUrl, step: int | None = None) -> RunPlace:
    """A run behind a URL with its newest checkpoint or that of `step`, or a model there.

    Raises:
        ConfigError: a training of this machine is at work in the run's copy.
        DataError: there is neither.
        DependencyError: the cache cannot be written.
        StoreError: the store does not answer.
    """
    run = StoredRun(url)
    if not run.is_there():
        return RunPlace(keep(url), url)
    run.fetch(step)
    return RunPlace(run.folder, url)


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

    def fetch(self, step: int | None = None) -> None:
        """Bring the copy to what the store has, unless it is of a later step, by a killed run.

        Of checkpoints that of `step`, or the newest whole one, is fetched. Processes of one machine
        may call this at once.

        Raises:
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
            if self._has(max(steps, default=0) if step is None else step, exactly=step is not None):
                return
            if step is not None and step not in steps:
                return  # `find_resume` says which there are
            self._empty()
            plain = [item for name, item in there.items() if not _in_checkpoint(name)]
            download_all(self._store, plain, self.folder)
            self._fetch_checkpoints(there, steps, step)

    def push(self) -> None:
        """Upload what is new or has changed, and remove checkpoints that are gone.

        Raises:
            DependencyError: this machine's disk is full.
            StoreError: the store does not take it.
        """
        before = dict(self._known)
        files = {path.relative_to(self.folder).as_posix(): path for path in self._files()}
        for name in sorted(files, key=_order):
            try:
                self._upload(files[name], name)
            except (FileNotFoundError, ObjectError):
                if files[name].exists():
                    raise
                continue  # a checkpoint that was removed meanwhile
        gone = [name for name in before if _in_checkpoint(name) and name not in files]
        self._store.remove(sorted(gone, key=_order, reverse=True))  # its index first
        for name in gone:
            self._known.pop(name, None)

    def clean(self) -> None:
        """Remove the copy: the store has all of it."""
        shutil.rmtree(self.folder.parent, ignore_errors=True)

    def _empty(self) -> None:
        """Remove an older copy, unless a training is at work in it."""
        if not self.folder.is_dir():
            return
        try:
            with locked_run(self.folder):
                shutil.rmtree(self.folder, ignore_errors=True)
        except ConfigError as error:
            raise ConfigError(RunPlace(self.folder, self.url).told(str(error))) from None

    def _has(self, step: int, *, exactly: bool) -> bool:
        """Whether the copy has a checkpoint of that step, or of a later one, and no holes in it."""
        if not self.folder.is_dir():
            return False
        if not exactly:
            here = newest_whole(self.folder).checkpoint
            return here is not None and here.step >= step
        try:
            return bool(verified(read_checkpoint(self.folder / f"checkpoint-{step}")))
        except CheckpointError:
            return False

    def _there(self) -> dict[str, Item]:
        try:
            return {item.name: item for item in self._store.items()}
        except ObjectError:  # a folder of a store is there as soon as a file is in it
            return {}

    def _know(self, there: dict[str, Item]) -> None:
        """Remember which files of the copy are those of the store: of its size and not newer."""
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


def _order(name: str) -> tuple[bool, bool, str]:
    """Tensors of checkpoints, then their indices, then all else."""
    return not _in_checkpoint(name), name.endswith(f"/{INDEX}"), name
