"""The actor that makes videos on a Ray cluster, and hands them back as the bytes of their files."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import torch
from PIL import Image

from fbridge.cluster.crew import Refused, this_node
from fbridge.cluster.driver import Driver
from fbridge.errors import DependencyError, FBridgeError
from fbridge.files.atomic import shown
from fbridge.generate.engine import load_model
from fbridge.generate.events import Finished, Item, Noted, Planned, Progress, Warned
from fbridge.generate.load import Loaded, versions
from fbridge.generate.packing import PackedVideo, pack
from fbridge.generate.plan import PlanTask
from fbridge.generate.render import render_batch
from fbridge.generate.request import GenerateRequest


@dataclass(frozen=True)
class GenerateSetup:
    """What an actor needs besides the request.

    Attributes:
        driver: the process that started the work.
        threads: of torch, as there: sums over another number are rounded differently.
    """

    driver: Driver
    threads: int


@dataclass(frozen=True)
class RenderTask:
    """A batch of videos.

    Attributes:
        items: of the plan.
        pictures: fitted, of each.
        done: steps that come before it in the plan.
        present: videos that are there, and are not handed back.
    """

    items: Sequence[Item]
    pictures: Sequence[Image.Image]
    done: int
    present: frozenset[Path]

    def __str__(self) -> str:
        more = f" and {len(self.items) - 1} more" if len(self.items) > 1 else ""
        return f"{shown(self.items[0].video)}{more}"


Task = PlanTask | RenderTask


@dataclass(frozen=True)
class Plan:
    """The events of a plan."""

    events: Sequence[Noted | Warned | Planned]


@dataclass(frozen=True)
class Rendered:
    """A finished batch.

    Attributes:
        events: what was said of it, with the videos as they are called in the plan.
        files: of each video.
    """

    events: Sequence[Finished | Warned]
    files: Mapping[Path, PackedVideo]


@dataclass(frozen=True)
class Unfit:
    """This node cannot do what others can, so that the whole work ends."""

    error: Refused


class GenerateActor:
    """Makes one batch at a time; the request's device is that of the actor.

    An error that the user can correct is handed back. Any other is raised and so ends the actor:
    what it leaves behind, such as a GPU in disorder, shall not meet the next batch.
    """

    def __init__(self, request: GenerateRequest, setup: GenerateSetup) -> None:
        self._request, self._setup = request, setup
        self._loaded: Loaded

    def place(self) -> str:
        """Name of the node."""
        return this_node()

    def start(self) -> Refused | None:
        """Load the model."""
        try:
            warnings.simplefilter("ignore")
            self._setup.driver.adopt()
            torch.set_num_threads(self._setup.threads)
            self._loaded = load_model(self._request)
        except Exception as error:
            return Refused.of(error)
        return None

    def work(self, task: Task) -> Iterator[int | Plan | Rendered | Refused | Unfit]:
        """Numbers of steps that were done and, last, the plan or the videos."""
        try:
            if isinstance(task, PlanTask):
                yield Plan(list(task.plan(self._loaded)))
            elif fault := self._difference(task.items[0]):
                yield Unfit(Refused.of(DependencyError(fault)))
            else:
                yield from _with_progress(lambda told: self._render(task, told))
        except FBridgeError as error:
            yield Refused.of(error)

    def _render(self, task: RenderTask, told: Callable[[int], None]) -> Rendered:
        """Make a batch; `told` gets the number of steps that were done since the last call."""
        before = task.done

        def progressed(progress: Progress) -> None:
            nonlocal before
            told(progress.done - before)
            before = progress.done

        events: list[Finished | Warned] = []
        files: dict[Path, PackedVideo] = {}
        with TemporaryDirectory(prefix="fbridge-") as folder:
            here = {
                Path(folder, str(number), item.video.name): item
                for number, item in enumerate(task.items)
            }
            batch = [
                replace(item, video=path, record=replace(item.record, versions=versions()))
                for path, item in here.items()
            ]
            for event in render_batch(
                batch,
                task.pictures,
                self._loaded.pipeline,
                metadata=self._request.metadata,
                overwrite=True,
                on_progress=progressed,
                present=frozenset(
                    path for path, item in here.items() if item.video in task.present
                ),
                done=task.done,
            ):
                if isinstance(event, Finished):
                    video = here[event.video].video
                    files[video] = pack(event.video)
                    event = replace(event, video=video, sidecar=None)
                events.append(event)
        return Rendered(events, files)

    def _difference(self, item: Item) -> str:
        """Why this model is not that of the plan; "" where it is."""
        model, pipeline = item.record.model, self._loaded.pipeline
        if (pipeline.model_hash, pipeline.loras) == (model.hash, model.loras):
            return ""
        return (
            f"has another model at {model.name} than the node that made the plan; copy the same "
            "files to all nodes"
        )


def _with_progress(
    work: Callable[[Callable[[int], None]], Rendered],
) -> Iterator[int | Rendered]:
    """What `work` tells while it runs, in a thread, and what it returns.

    Raises:
        Exception: what it has raised.
    """
    told: SimpleQueue[Any] = SimpleQueue()

    def run() -> None:
        try:
            told.put(work(told.put))
        except Exception as error:
            told.put(error)

    thread = Thread(target=run, daemon=True)
    thread.start()
    while isinstance(value := told.get(), int):
        yield value
    thread.join()
    if isinstance(value, Exception):
        raise value
    yield value
