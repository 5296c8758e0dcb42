"""Training into a store: a run is made in a folder of the cache, from which its files follow.

They leave in a thread of their own, since the processes of a run wait for each other. Of processes
on several machines the first one's folder leaves; the others have copies of what the store had when
they began, which they read alone.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

from fbridge.data.stores import StoreError, StoreUrl
from fbridge.data.stores.kept import keep
from fbridge.errors import DependencyError
from fbridge.train import run as local
from fbridge.train.events import Ended, Event, Saved, Validated, Warned
from fbridge.train.place import RunPlace
from fbridge.train.request import TrainRequest
from fbridge.train.stored_run import StoredRun


def run(
    request: TrainRequest,
    *,
    stop: Callable[[], bool] = bool,
    command_line: str = "",
) -> Generator[Event]:
    """Train as `fbridge.train.run.run` does, in a folder or into a store.

    A store that does not answer during the run is a warning, and what is missing there follows with
    the next checkpoint; at the end it is an error, and the folder stays for `--resume`.

    Raises:
        FBridgeError: as there; StoreError at the end.
    """
    events = local.run(request, stop=stop, command_line=command_line)
    if request.store is None or request.dry_run:
        yield from events
        return
    stored = StoredRun(request.store)
    if not request.launch.first:
        yield from events
        if request.launch.first_here and not request.launch.one_machine:
            stored.clean()
        return
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
