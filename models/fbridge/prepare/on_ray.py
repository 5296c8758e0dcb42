"""The engine that surveys and encodes on a Ray cluster; this process alone writes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import torch

from fbridge.cluster.connect import Cluster, join, load_ray
from fbridge.cluster.crew import Crew, Refused
from fbridge.cluster.driver import Driver
from fbridge.cluster.networks import on_gpus, part_of_cpus
from fbridge.cluster.options import RayOptions
from fbridge.cluster.pool import RayPool
from fbridge.cluster.streams import GivenUp, Lost, Streams, Told
from fbridge.data.video.pool import TaskPool
from fbridge.errors import DependencyError
from fbridge.prepare.engine import CaptionGroup, Step
from fbridge.prepare.models import ModelFacts, load_models
from fbridge.prepare.plan import Unit
from fbridge.prepare.ray_worker import Done, EncoderActor, EncoderSetup, Job
from fbridge.prepare.request import PrepareRequest
from fbridge.prepare.shards import MEMORY_AHEAD, Timings
from fbridge.prepare.store import Store

_ENCODING = 1800.0  # seconds that the codec may take for a batch, besides its decoding
_STORE_SHARE = 8
"""Part of the cluster's object store that decoded frames may fill: 1 / this; shards need some."""


@dataclass(frozen=True)
class Arrangement:
    """How the cluster is divided.

    Attributes:
        encoders: actors, each of `encoder_cpus` and `gpus`, and with `decoders` of its own.
        decoder_cpus: that each of those takes.
        surveyors: actors that survey files, before the encoders start; each of `surveyor_cpus`.
    """

    encoders: int
    encoder_cpus: float
    gpus: float
    decoders: int
    decoder_cpus: float
    surveyors: int
    surveyor_cpus: float

    def __str__(self) -> str:
        on = f" with {self.gpus:g} GPU each" if self.gpus else ""
        words = "1 encoder" if self.encoders == 1 else f"{self.encoders} encoders"
        return f"{words}{on}, {self.encoders * self.decoders} decoders"


def arrange(options: RayOptions, cluster: Cluster, threads: int) -> Arrangement:
    """Divide a cluster among encoders and decoders.

    With GPUs every share of one is an encoder, and the CPUs decode. Without, half of the CPUs
    encodes, by actors of `threads` threads. Where more is asked for than there are CPUs, each
    actor takes less of one, as processes of one machine do.

    Raises:
        DependencyError: GPUs are asked for, and no node has one.
    """
    workers = options.workers or max(1, int(cluster.cpus))
    squeeze = min(1.0, cluster.cpus / workers) if cluster.cpus else 1.0
    if on_gpus(options, cluster):
        encoders = max(1, int(cluster.gpus / options.gpu_share))
        decoders = -(-workers // encoders)
        share = min(1.0, cluster.cpus / (encoders * decoders)) if cluster.cpus else 1.0
        return Arrangement(
            encoders,
            0.0,
            options.gpu_share,
            decoders,
            part_of_cpus(share),
            workers,
            part_of_cpus(squeeze),
        )
    encoders = max(1, workers // threads)
    most = cluster.most_cpus or threads
    own = min(workers * squeeze / encoders, threads, most) / 2
    decoders = max(1, workers // encoders)
    return Arrangement(
        encoders,
        part_of_cpus(own),
        0.0,
        decoders,
        part_of_cpus(squeeze / 2),
        workers,
        part_of_cpus(squeeze),
    )


class RayEngine:
    """See `fbridge.prepare.engine.Engine`.

    Encoders hand finished shards back; a job whose node is lost is done again on another.
    """

    def __init__(self, request: PrepareRequest, options: RayOptions) -> None:
        load_ray()
        self._request, self._options = request, options
        self._stack = ExitStack()
        self.timings = Timings()
        self.notes: list[str] = []
        self._given_up: list[str] = []
        self.facts: ModelFacts
        self._arrangement: Arrangement
        self._threads = 1

    def __enter__(self) -> RayEngine:
        with ExitStack() as stack:
            cluster = stack.enter_context(join(self._options.address))
            self.facts = ModelFacts.of(*load_models(replace(self._request, device="cpu")))
            self._threads = torch.get_num_threads()
            self._arrangement = arrange(self._options, cluster, self._threads)
            self.notes.append(f"{cluster}; {self._arrangement}")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the cluster, which ends what still runs there for this process."""
        self._stack.close()

    def pool(self) -> AbstractContextManager[TaskPool]:
        """What surveys files."""
        arranged = self._arrangement
        limit = self._request.time_limit
        return RayPool(arranged.surveyors, time_limit=limit, num_cpus=arranged.surveyor_cpus)

    def make(self, captions: Iterator[CaptionGroup], units: Iterator[Unit]) -> Iterator[Step]:
        """See `Engine.make`."""
        jobs = chain((Job(captions=group) for group in captions), (Job(unit=one) for one in units))
        first = next(jobs, None)
        if first is None:
            return  # without the time to start encoders
        yield Step("starting encoders")
        store, crew = Store(self._request), self._crew()
        limit = self._request.batch_size * (2 * self._request.time_limit + 60) + _ENCODING
        try:
            for told in Streams[Job](crew, stall=limit).run(chain([first], jobs)):
                yield self._take(told, store)
        finally:
            crew.close()
        if self._given_up:
            more = len(self._given_up) - 1
            others = f" ({more} more are like it)" if more else ""
            raise DependencyError(
                f"{self._given_up[0]}{others}; the rest is done; look at the memory of the nodes, "
                "or take a smaller --batch-size"
            )

    def _take(self, told: Told[Job], store: Store) -> Step:
        """Enter what a job has told; it may be a step back.

        Raises:
            FBridgeError: the job cannot be done; names the node.
        """
        if isinstance(told.value, int):
            return Step("encoding", told.value)
        if isinstance(told.value, Lost):
            self.notes.append(f"node {told.node} is lost; what it had begun is done again")
            return Step("encoding", -told.value.done)
        if isinstance(told.value, GivenUp):
            self._given_up.append(f"node {told.node}: {told.job}: {told.value}")
            return Step("encoding")
        if isinstance(told.value, Refused):
            raise told.value.error()
        assert isinstance(told.value, Done), "else it is a shard"
        with self.timings.writing():
            store.write_packed(told.value.shard)
        self.timings.add(told.value.timings)
        self.notes += told.value.notes
        return Step("captions" if told.job.unit is None else "encoding")

    def _crew(self) -> Crew:
        """The encoders, each placed together with its decoders or not at all.

        Else encoders could fill the nodes so that none has room for a decoder.
        """
        import ray
        from ray.util import placement_group, remove_placement_group
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        arranged = self._arrangement
        own: dict[str, float] = {"CPU": arranged.encoder_cpus, "GPU": arranged.gpus}
        bundles = [{name: share for name, share in own.items() if share}]
        bundles += [{"CPU": arranged.decoder_cpus}] * arranged.decoders
        encoder = ray.remote(EncoderActor)
        options = {"num_cpus": arranged.encoder_cpus, "num_gpus": arranged.gpus,
                   "max_restarts": 0, "max_task_retries": 0}  # fmt: skip
        request, setup = replace(self._request, device="cpu"), ray.put(self._setup())
        groups: dict[Any, Any] = {}

        def make() -> Any:
            group = placement_group(bundles, strategy="PACK")
            place = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=0)
            made = encoder.options(scheduling_strategy=place, **options).remote(
                request, setup, group
            )
            groups[made] = group
            return made

        def discard(made: Any) -> None:
            ray.kill(made)
            remove_placement_group(groups.pop(made))

        return Crew(make, discard, arranged.encoders, what="an encoder")

    def _setup(self) -> EncoderSetup:
        import ray

        arranged = self._arrangement
        room = ray.cluster_resources().get("object_store_memory", MEMORY_AHEAD)
        return EncoderSetup(
            self.facts,
            self._threads,
            arranged.decoders,
            arranged.decoder_cpus,
            int(min(MEMORY_AHEAD, room / _STORE_SHARE / arranged.encoders)),
            Driver.here(),
        )
