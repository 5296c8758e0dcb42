"""A small Ray cluster on this machine, whose nodes can be killed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

STORE = 100 * 2**20
"""Bytes of each node's object store."""


@contextmanager
def running(*cpus: int) -> Iterator[Any]:
    """A `ray.cluster_utils.Cluster` that this process has joined: a head without CPUs, and a node
    with each of these numbers of CPUs."""
    from ray.cluster_utils import Cluster

    from fbridge.cluster.connect import load_ray, quiet_init

    ray = load_ray()
    cluster = Cluster(True, head_node_args={"num_cpus": 0, **_usual()})
    try:
        for count in cpus:
            cluster.add_node(num_cpus=count, **_usual())
        quiet_init(ray, cluster.address)
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


def _usual() -> dict[str, Any]:
    return {"include_dashboard": False, "object_store_memory": STORE, "num_gpus": 0}
