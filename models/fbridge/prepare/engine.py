"""Engines: where files are surveyed and units are encoded. The rest of `prepare` knows no more.

An engine decides places, order and repetitions of the work, never its results: those are functions
of the plan, which the results are keyed by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple, Protocol

import torch

from fbridge.data.video.pool import TaskPool, Workers
from fbridge.prepare.encode import Encoder
from fbridge.prepare.models import ModelFacts, load_models
from fbridge.prepare.plan import Unit
from fbridge.prepare.request import PrepareRequest
from fbridge.prepare.shards import EncodedUnit, Timings, UnitEncoder, encode_captions
from fbridge.prepare.store import Store
from fbridge.words.encoder import PromptEncoder

CaptionGroup = tuple[str, list[str]]
"""A shard's name, and the captions whose embeddings it holds."""


Fetching = Callable[[TaskPool], TaskPool]
"""See `fbridge.prepare.source.Source.fetching`."""


class Step(NamedTuple):
    """A step of the work: "captions", or "encoding" so many clips."""

    what: str
    clips: int = 0


class Engine(Protocol):
    """Where the work is done.

    Attributes:
        facts: of the models.
        timings: seconds of the work so far.
        notes: messages for the user, which the caller takes out.
    """

    facts: ModelFacts
    timings: Timings
    notes: list[str]

    def pool(self) -> AbstractContextManager[TaskPool]:
        """What surveys files."""

    def make(self, captions: Iterator[CaptionGroup], units: Iterator[Unit]) -> Iterator[Step]:
        """Encode all of these, and enter each in the journal once its shard is written."""


class LocalEngine:
    """Worker processes of this machine decode, and this process encodes."""

    def __init__(self, request: PrepareRequest, fetching: Fetching) -> None:
        self._request = request
        self._codec, text = load_models(request)
        self._text: PromptEncoder | None = text
        self.facts = ModelFacts.of(self._codec, text)
        self.timings = Timings()
        self.notes: list[str] = []
        self._workers = Workers(request.workers, time_limit=request.time_limit)
        self._pool = fetching(self._workers)

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(self, *_: object) -> None:
        """Kill the workers."""
        self._workers.__exit__()

    def pool(self) -> AbstractContextManager[TaskPool]:
        """The workers that also decode."""
        return nullcontext(self._pool)

    def make(self, captions: Iterator[CaptionGroup], units: Iterator[Unit]) -> Iterator[Step]:
        """See `Engine.make`."""
        store = Store(self._request)
        dtype = getattr(torch, self._request.dtype)
        # Gone where other units were made before: what a process that died had begun comes late.
        text = self._text or load_models(self._request)[1]
        for name, group in captions:
            store.write(encode_captions(text, name, group, dtype))
            if told := text.describe_unread(group):
                self.notes.append(f"captions: {told}")
            yield Step("captions")
        encoder = Encoder(
            self._codec.codec,
            text,
            device=self._request.device,
            dtype=dtype,
            batch_size=self._request.batch_size,
            note=self.notes.append,
        )
        # Captions are embedded, so only a codec that reads them needs the text encoder longer.
        self._text = text if self._codec.codec.reads_text else None
        del text
        making = UnitEncoder(self._request, self._pool, encoder)
        making.timings = self.timings
        for made in making.encode(units):
            if isinstance(made, EncodedUnit):
                with self.timings.writing():
                    store.write(made)
            else:
                yield Step("encoding", made)


def open_engine(request: PrepareRequest, fetching: Fetching) -> AbstractContextManager[Engine]:
    """The engine of a request, with its models loaded.

    Args:
        request: what is made.
        fetching: workers of this machine that get videos behind URLs as local copies.

    Raises:
        CheckpointError, ConfigError: see `load_models`.
        DependencyError: Ray is asked for and is missing, or its cluster does not answer.
    """
    if request.ray is None:
        return LocalEngine(request, fetching)
    from fbridge.prepare.on_ray import RayEngine

    return RayEngine(request, request.ray)
