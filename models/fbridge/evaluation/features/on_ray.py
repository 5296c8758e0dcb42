"""Features on a Ray cluster: actors compute them, and this process keeps them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fbridge.cluster.connect import Cluster, join, load_ray
from fbridge.cluster.networks import NetworkActors, arrange_networks
from fbridge.cluster.options import RayOptions
from fbridge.cluster.pool import RayPool
from fbridge.data.video import Failure
from fbridge.errors import DependencyError
from fbridge.evaluation.features.measure import PATIENCE, FeatureTask, as_arrays
from fbridge.evaluation.features.networks import Setup, identity_of
from fbridge.weights import ENTRIES


@dataclass(frozen=True)
class NodeSetup:
    """How features are computed on a node.

    Attributes:
        setup: on its device.
        identities: of the features, as in the process that keeps them.
        codec_hash: of the codec's weights there; "" without a codec.
        variables: of the environment, by which weights are found.
    """

    setup: Setup
    identities: Mapping[str, str]
    codec_hash: str
    variables: Mapping[str, str]


class RayFeatures:
    """See `fbridge.evaluation.features.measure.Computing`; use it in a `with` block.

    Raises:
        DependencyError: Ray is missing, or its cluster does not answer.
    """

    def __init__(self, options: RayOptions) -> None:
        load_ray()
        self._options = options
        self._stack = ExitStack()
        self._cluster: Cluster

    def __enter__(self) -> RayFeatures:
        with ExitStack() as stack:
            self._cluster = stack.enter_context(join(self._options.address))
            self._arrange(1)  # raises without the GPU that is asked for
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the cluster."""
        self._stack.close()

    def __str__(self) -> str:
        return str(self._cluster)

    def compute(
        self, tasks: Sequence[FeatureTask], setup: Setup, identities: Mapping[str, str]
    ) -> Iterator[list[Tensor] | Failure]:
        """See `Computing.compute`.

        Raises:
            CheckpointError: a node lacks weights.
            DependencyError: it has others, or no node has room for too long.
        """
        arranged = self._arrange(len(tasks))
        node = NodeSetup(
            replace(setup, device=arranged.device),
            identities,
            _codec_hash(setup.codec),
            {entry.variable: str(Path(os.environ[entry.variable]).absolute())
             for entry in ENTRIES.values() if os.environ.get(entry.variable)},
        )  # fmt: skip
        compute = partial(compute_on_node, node=node)
        options = arranged.resources
        with RayPool(arranged.count, time_limit=PATIENCE, what="a worker", **options) as pool:
            for rows in pool.map(compute, ((task,) for task in tasks), 3 * arranged.count):
                if isinstance(rows, Failure):
                    yield rows
                else:
                    yield [torch.from_numpy(row.copy()) for row in rows]  # Ray's are read-only

    def _arrange(self, most: int) -> NetworkActors:
        return arrange_networks(self._options, self._cluster, threads=1, most=most)


def compute_on_node(task: FeatureTask, node: NodeSetup) -> list[NDArray[np.float32]]:
    """The features of a task as arrays, in a process of a node.

    Raises:
        DataError: a clip cannot be read.
        CheckpointError: weights are missing here.
        DependencyError: weights are others here.
    """
    os.environ.update(node.variables)
    if _codec_hash(node.setup.codec) != node.codec_hash:
        raise DependencyError(
            f"has another codec at {node.setup.codec} than the process that started the work; "
            "copy the same files to all nodes"
        )
    for name in {request.feature for request in task.requests}:
        if _identity(name) != node.identities[name]:
            raise DependencyError(
                f"has other weights ({_identity(name)}) than the process that started the work "
                f"({node.identities[name]}); copy the same files to all nodes"
            )
    return as_arrays(task, node.setup)


@lru_cache(maxsize=256)
def _identity(feature: str) -> str:
    return identity_of(feature)


@lru_cache(maxsize=1)
def _codec_hash(codec: str) -> str:
    from fbridge.loaders.codec import load_codec

    return load_codec(codec, device="cpu").hash if codec else ""
