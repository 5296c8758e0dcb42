"""How a cluster is divided among actors with a network each."""

from __future__ import annotations

import pytest

from fbridge.cluster.connect import Cluster
from fbridge.cluster.networks import NetworkActors, arrange_networks
from fbridge.cluster.options import RayOptions
from fbridge.errors import DependencyError


def arrange(
    cpus: float,
    gpus: float = 0,
    *,
    threads: int = 1,
    most: int = 100,
    most_cpus: float = 8,
    **asked: object,
) -> NetworkActors:
    cluster = Cluster("head:6379", False, 2, cpus, gpus, min(most_cpus, cpus))
    return arrange_networks(RayOptions(**asked), cluster, threads=threads, most=most)  # type: ignore[arg-type]


def test_without_gpus_an_actor_has_the_cpus_of_its_threads() -> None:
    assert arrange(8) == NetworkActors(8, 1.0, 0.0)
    assert arrange(8, threads=4) == NetworkActors(2, 4.0, 0.0)
    assert arrange(8, threads=4, most_cpus=2) == NetworkActors(4, 2.0, 0.0)  # of small machines
    assert arrange(8, most=3) == NetworkActors(3, 1.0, 0.0)
    assert arrange(2, workers=8) == NetworkActors(8, 0.25, 0.0)
    assert arrange(8, workers=2) == NetworkActors(2, 1.0, 0.0)
    assert arrange(0, threads=4).count == 1  # there may be nodes later
    assert arrange(8).device == "cpu"
    assert str(arrange(1)) == "1 worker"


def test_with_gpus_every_share_of_one_is_an_actor() -> None:
    assert arrange(32, 4) == NetworkActors(4, 0.0, 1.0)
    halves = arrange(32, 4, gpu_share=0.5)
    assert halves == NetworkActors(8, 0.0, 0.5)
    assert (halves.device, str(halves)) == ("cuda", "8 workers with 0.5 GPU each")
    assert halves.resources == {"num_cpus": 0.0, "num_gpus": 0.5}
    assert arrange(32, 4, workers=3).count == 3
    assert arrange(32, 4, most=2).count == 2
    assert arrange(32, 4, device="cpu") == NetworkActors(32, 1.0, 0.0)
    with pytest.raises(DependencyError, match="no node of the Ray cluster has a GPU"):
        arrange(32, device="cuda")
