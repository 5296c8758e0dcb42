"""The actor that encodes on a Ray cluster, and hands finished shards back as bytes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from fbridge.cluster.crew import NoRoomError, Refused, this_node
from fbridge.cluster.driver import Driver
from fbridge.cluster.pool import RayPool
from fbridge.errors import DependencyError
from fbridge.loaders.codec import LoadedCodec
from fbridge.prepare.encode import Encoder
from fbridge.prepare.engine import CaptionGroup
from fbridge.prepare.models import ModelFacts, load_models
from fbridge.prepare.plan import Unit
from fbridge.prepare.request import PrepareRequest
from fbridge.prepare.shards import EncodedUnit, Timings, UnitEncoder, encode_captions
from fbridge.prepare.store import PackedShard, pack
from fbridge.words.encoder import PromptEncoder

_PATIENCE = 60.0  # seconds for which an encoder waits for its decoders


@dataclass(frozen=True)
class EncoderSetup:
    """What an encoder needs besides the request.

    Attributes:
        facts: of the models as the driver has them.
        threads: of torch, as in the driver: sums over another number are rounded differently.
        decoders: actors that decode for it, each of `decoder_cpus`.
        memory_ahead: limit on its decoded frames, in bytes.
        driver: the process that started the work.
    """

    facts: ModelFacts
    threads: int
    decoders: int
    decoder_cpus: float
    memory_ahead: int
    driver: Driver


@dataclass(frozen=True)
class Job:
    """Captions or a unit to encode; `str` names it in messages."""

    captions: CaptionGroup | None = None
    unit: Unit | None = None

    def __str__(self) -> str:
        if self.unit is None:
            return "captions"
        keys = list(dict.fromkeys(str(clip.facts["key"]) for clip in self.unit.clips))
        more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
        return f"{keys[0]}{more}"


@dataclass(frozen=True)
class Done:
    """A finished job, with the seconds that it took and messages for the user."""

    shard: PackedShard
    timings: Timings
    notes: tuple[str, ...]


class EncoderActor:
    """Encodes one job at a time; its decoders work ahead of it.

    Args:
        request: what is made.
        setup: the rest.
        group: placement group that has room for it and its decoders.
    """

    def __init__(self, request: PrepareRequest, setup: EncoderSetup, group: Any) -> None:
        self._request, self._setup, self._group = request, setup, group
        self._notes: list[str] = []

    def place(self) -> str:
        """Name of the node."""
        return this_node()

    def start(self) -> Refused | None:
        """Load the models."""
        try:
            self._start()
        except Exception as error:
            return Refused.of(error)
        return None

    def work(self, job: Job) -> Iterator[int | Done | Refused]:
        """Numbers of clips that were encoded and, last, the shard."""
        try:
            yield from self._work(job)
        except NoRoomError:  # its decoders are lost, and there may be room for all elsewhere
            raise
        except Exception as error:
            refused = Refused.of(error)
            yield replace(refused, text=f"{job}: {refused.text}")

    def _start(self) -> None:
        import ray
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        warnings.simplefilter("ignore")  # frames that lie in Ray's store are read-only
        self._setup.driver.adopt()
        torch.set_num_threads(self._setup.threads)
        device = "cuda" if ray.get_gpu_ids() else "cpu"
        self._request = replace(self._request, device=device)
        codec, self._text = load_models(self._request)
        _check_models(self._setup.facts, codec, self._text)
        setup, request = self._setup, self._request
        pool = RayPool(
            setup.decoders,
            time_limit=request.time_limit,
            patience=_PATIENCE,
            num_cpus=setup.decoder_cpus,
            scheduling_strategy=PlacementGroupSchedulingStrategy(self._group),
        )
        encoder = Encoder(
            codec.codec,
            self._text,
            device=device,
            dtype=getattr(torch, request.dtype),
            batch_size=request.batch_size,
            note=lambda text: self._notes.append(f"node {this_node()}: {text}"),
        )
        self._encoder = UnitEncoder(request, pool, encoder, ahead=setup.memory_ahead)

    def _work(self, job: Job) -> Iterator[int | Done]:
        self._encoder.timings = Timings()
        if job.captions is not None:
            dtype = getattr(torch, self._request.dtype)
            shard = pack(encode_captions(self._text, *job.captions, dtype))
            if told := self._text.describe_unread(job.captions[1]):
                self._notes.append(f"captions: {told}")
            yield self._done(shard)
        if job.unit is not None:
            for made in self._encoder.encode(iter([job.unit])):
                yield self._done(pack(made)) if isinstance(made, EncodedUnit) else made

    def _done(self, shard: PackedShard) -> Done:
        notes = tuple(self._notes)
        self._notes.clear()
        return Done(shard, self._encoder.timings, notes)


def _check_models(facts: ModelFacts, codec: LoadedCodec, text: PromptEncoder) -> None:
    for what, name, here, there in (
        ("codec", codec.name, codec.hash, facts.codec["hash"]),
        ("text encoder", text.name, text.hash, facts.text_encoder["hash"]),
    ):
        if here != there:
            raise DependencyError(
                f"has another {what} at {name} than the process that started the work; "
                "copy the same files to all nodes"
            )
