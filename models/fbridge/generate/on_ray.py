"""The engine that makes videos on a Ray cluster; this process alone writes, and loads no model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from fbridge import errors
from fbridge.cluster.connect import join, load_ray
from fbridge.cluster.crew import Crew, Refused
from fbridge.cluster.driver import Driver
from fbridge.cluster.networks import NetworkActors, arrange_networks
from fbridge.cluster.options import RayOptions
from fbridge.cluster.streams import GivenUp, Lost, Streams, Told
from fbridge.data.provenance import sidecar_path
from fbridge.errors import ConfigError, DataError, FBridgeError
from fbridge.files.atomic import shown, write_text
from fbridge.generate.engine import announce
from fbridge.generate.events import Finished, Item, Loading, Noted, Planned, Progress, Warned
from fbridge.generate.packing import unpack
from fbridge.generate.plan import MOST_SHOWN, PlanTask
from fbridge.generate.ray_worker import (
    GenerateActor,
    GenerateSetup,
    Plan,
    Rendered,
    RenderTask,
    Task,
    Unfit,
)
from fbridge.generate.render import Rendering
from fbridge.generate.request import GenerateRequest

_SILENCE = 1800.0  # seconds that one step of sampling, or decoding and writing a batch, may take
_PACKAGES = ("fbridge", "torch", "diffusers")


class RayEngine:
    """See `fbridge.generate.engine.Engine`.

    Actors load the model. One of them makes the plan; each then makes batches of it, and hands
    the files back. A batch whose actor is lost is made anew; one that cannot be made is left out.

    Args:
        request: what is made.
        options: of the cluster.
        most: batches that there are.
    """

    def __init__(self, request: GenerateRequest, options: RayOptions, *, most: int) -> None:
        load_ray()
        self._request, self._options, self._most = request, options, most
        self._stack = ExitStack()
        self._words = ""
        self._streams: Streams[Task]
        self._failed: list[tuple[str, str]] = []  # videos, and the kind of their error
        self._there: set[Path] = set()
        self._done = 0

    def __enter__(self) -> RayEngine:
        with ExitStack() as stack:
            cluster = stack.enter_context(join(self._options.address))
            arranged = arrange_networks(
                self._options, cluster, threads=torch.get_num_threads(), most=self._most
            )
            self._words = f"{cluster}; {arranged}"
            crew = self._crew(arranged)
            stack.callback(crew.close)
            self._streams = Streams[Task](crew, stall=_SILENCE)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the cluster, which ends what still runs there for this process."""
        self._stack.close()

    def plan(self, task: PlanTask) -> Iterator[Loading | Noted | Warned | Planned]:
        """See `Engine.plan`."""
        yield Noted(self._words)
        yield announce(task.request)
        pictures = {path: replace(facts, pixels=None) for path, facts in task.pictures.items()}
        asked: Iterator[Task] = iter([replace(task, pictures=pictures)])
        for told in self._streams.run(asked):
            if isinstance(told.value, Plan):
                yield from told.value.events
            elif isinstance(told.value, Refused):  # it would be so on any node
                raise told.value.plain_error()
            elif isinstance(told.value, GivenUp):
                raise _given_up("the plan", told).error()

    def render(self, rendering: Rendering) -> Iterator[Finished | Noted | Warned]:
        """See `Engine.render`; videos come as they are ready."""
        self._there = set(rendering.present)
        self._done = sum(item.record.steps for item in rendering.items)
        tasks = list(rendering.work())
        self._done -= sum(len(batch) * batch[0].record.steps for batch, _ in tasks)
        notes: list[Warned] = []
        for told in self._streams.run(self._tasks(rendering, tasks, notes)):
            yield from notes
            notes.clear()
            yield from self._take(told, rendering)
        yield from notes
        if self._failed:
            raise self._failure(rendering)

    def _tasks(
        self,
        rendering: Rendering,
        work: Sequence[tuple[Sequence[Item], int]],
        notes: list[Warned],
    ) -> Iterator[Task]:
        """The batches, each with its pictures; `notes` gets those whose pictures are gone."""
        for batch, done in work:
            present = rendering.present.intersection(item.video for item in batch)
            task = RenderTask(batch, (), done, present)
            try:
                pictures = rendering.pictures_for(batch)
            except (ConfigError, DataError) as error:
                notes.append(self._fail(task, error))
                continue
            yield replace(task, pictures=pictures)

    def _take(self, told: Told[Task], rendering: Rendering) -> Iterator[Finished | Noted | Warned]:
        """Count and write what a batch has told."""
        task, value = told.job, told.value
        assert isinstance(task, RenderTask), "the plan is made"
        if isinstance(value, (int, Lost)):
            self._done += value if isinstance(value, int) else -value.done
            rendering.on_progress(Progress(str(task), self._done))
        if isinstance(value, Lost):
            yield Noted(f"a worker on node {told.node} is lost; what it had begun is made again")
        elif isinstance(value, GivenUp):
            yield self._fail(task, _given_up(str(task), told).error())
        elif isinstance(value, Unfit):
            raise value.error.error()
        elif isinstance(value, Refused):
            yield self._fail(task, value.error())
        elif isinstance(value, Rendered):
            try:
                yield from self._write(value, rendering)
            except (ConfigError, DataError) as error:
                yield self._fail(task, error)

    def _fail(self, task: RenderTask, error: FBridgeError) -> Warned:
        missing = [item.video for item in task.items if item.video not in self._there]
        self._failed += [(shown(video), type(error).__name__) for video in missing]
        told = str(error)
        return Warned(f"not made: {told if str(task) in told else f'{task}: {told}'}")

    def _failure(self, rendering: Rendering) -> FBridgeError:
        """The error at the end, of the kind that all failures are of."""
        kinds = {kind for _, kind in self._failed}
        kind = getattr(errors, kinds.pop()) if len(kinds) == 1 else DataError
        names = [name for name, _ in self._failed]
        count = "1 video was" if len(names) == 1 else f"{len(names)} videos were"
        more = f" and {len(names) - MOST_SHOWN} more" if len(names) > MOST_SHOWN else ""
        again = "--resume in place of --overwrite" if rendering.overwrite else "--resume"
        hint = f"; the same line with {again} tries again" if rendering.metadata else ""
        failure: FBridgeError = kind(
            f"{count} not made, for the reasons above: {', '.join(names[:MOST_SHOWN])}{more}; the "
            f"rest is done{hint}"
        )
        return failure

    def _write(self, rendered: Rendered, rendering: Rendering) -> Iterator[Finished | Warned]:
        """Write the videos of a batch, each before its sidecar."""
        for event in rendered.events:
            if isinstance(event, Finished):
                unpack(rendered.files[event.video], event.video, overwrite=rendering.overwrite)
                self._there.add(event.video)
                if rendering.metadata:
                    sidecar = sidecar_path(event.video)
                    write_text(sidecar, event.record.sidecar(), overwrite=rendering.overwrite)
                    event = replace(event, sidecar=sidecar)
            yield event

    def _crew(self, arranged: NetworkActors) -> Crew:
        import ray

        options = {"max_restarts": 0, "max_task_retries": 0, **arranged.resources}
        actor = ray.remote(GenerateActor).options(**options)
        request = ray.put(replace(self._request, device=arranged.device))
        setup = GenerateSetup(Driver.here(_PACKAGES), torch.get_num_threads())

        def make() -> Any:
            return actor.remote(request, setup)

        return Crew(make, ray.kill, arranged.count, what="a worker")


def _given_up(what: str, told: Told[Task]) -> Refused:
    assert isinstance(told.value, GivenUp)
    text = f"{what}: {told.value}; look at the memory of the nodes"
    return Refused("DependencyError", text, told.node)
