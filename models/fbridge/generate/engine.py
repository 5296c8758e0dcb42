"""Engines: where the model is and videos are rendered. The rest of `generate` knows no more.

An engine decides places, order and repetitions of the work, never its results: those are functions
of the plan, which says also which videos are made together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from fbridge.errors import ConfigError
from fbridge.generate import load
from fbridge.generate.events import Finished, Loading, Noted, Planned, Warned
from fbridge.generate.load import Loaded
from fbridge.generate.plan import PlanTask
from fbridge.generate.render import Rendering, render
from fbridge.generate.replay import Replay
from fbridge.generate.request import GenerateRequest


class Engine(Protocol):
    """Where the work is done."""

    def plan(self, task: PlanTask) -> Iterator[Loading | Noted | Warned | Planned]:
        """Load the model and make the plan, which is the last event.

        Raises:
            FBridgeError: there is no such model, or it cannot do what is asked.
        """

    def render(self, rendering: Rendering) -> Iterator[Finished | Noted | Warned]:
        """Make the videos, each of which is whole on the disk when it is yielded.

        Raises:
            FBridgeError: some could not be made.
        """


class LocalEngine:
    """This process; `loaded` is the model, where it is loaded already."""

    def __init__(self, loaded: Loaded | None) -> None:
        self._loaded = loaded

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held."""

    def plan(self, task: PlanTask) -> Iterator[Loading | Noted | Warned | Planned]:
        """See `Engine.plan`."""
        if self._loaded is None:
            yield announce(task.request)
            self._loaded = load_model(task.request, task.replay)
        yield from task.plan(self._loaded)

    def render(self, rendering: Rendering) -> Iterator[Finished | Noted | Warned]:
        """See `Engine.render`."""
        assert self._loaded is not None, "the plan comes first"
        return render(rendering, self._loaded.pipeline)


def open_engine(
    request: GenerateRequest, loaded: Loaded | None, videos: Sequence[object]
) -> AbstractContextManager[Engine]:
    """The engine of a request.

    Args:
        request: what is made.
        loaded: its model, where it is loaded already.
        videos: that are made at most.

    Raises:
        DependencyError: Ray is asked for and is missing, or its cluster does not answer.
        ConfigError: Ray is asked for, and the model is loaded here.
    """
    if request.ray is None:
        return LocalEngine(loaded)
    if loaded is not None:
        raise ConfigError("--engine ray: loads the model on its nodes; give no loaded one")
    from fbridge.generate.on_ray import RayEngine

    most = 1 if request.dry_run else -(-len(videos) // request.batch_size)
    return RayEngine(request, request.ray, most=most)


def announce(request: GenerateRequest) -> Loading:
    """The event before the model is loaded."""
    plain = load.is_plain(
        request.model_name,
        dtype=request.dtype,
        components=request.components,
        base=request.base,
        memory=request.memory,
    )
    return Loading(request.model_name, plain)


def load_model(request: GenerateRequest, replay: Replay | None = None) -> Loaded:
    """The model of a request, on its device; see `load.load_pipeline`."""
    return load.load_pipeline(
        request.model_name,
        device=request.device,
        dtype=request.dtype,
        threads=replay.record.machine.threads if replay else None,
        components=request.components,
        expert=request.expert,
        base=request.base,
        download=request.download,
        memory=request.memory,
        loras=request.loras if replay is None else replay.loras,
        local_files_only=replay is not None and replay.local_files_only,
    )
