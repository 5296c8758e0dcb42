"""How a cluster is divided among actors that hold a network each."""

from __future__ import annotations

from dataclasses import dataclass

from fbridge.cluster.connect import Cluster
from fbridge.cluster.options import RayOptions
from fbridge.errors import DependencyError


@dataclass(frozen=True)
class NetworkActors:
    """So many equal actors.

    Attributes:
        count: of actors.
        cpus, gpus: of each.
    """

    count: int
    cpus: float
    gpus: float

    def __str__(self) -> str:
        on = f" with {self.gpus:g} GPU each" if self.gpus else ""
        return f"{self.count} worker{'' if self.count == 1 else 's'}{on}"

    @property
    def device(self) -> str:
        """Of the networks."""
        return "cuda" if self.gpus else "cpu"

    @property
    def resources(self) -> dict[str, float]:
        """Options of each actor, for Ray."""
        return {"num_cpus": self.cpus, "num_gpus": self.gpus}


def arrange_networks(
    options: RayOptions, cluster: Cluster, *, threads: int, most: int
) -> NetworkActors:
    """Divide a cluster: with GPUs every share of one is an actor, else every `threads` CPUs are.

    Where more workers are asked for than there are CPUs, each takes less of one, as processes of
    one machine do.

    Args:
        options: what was asked for.
        cluster: what there is.
        threads: of an actor on CPUs.
        most: actors that have something to do.

    Raises:
        DependencyError: GPUs are asked for, and no node has one.
    """
    asked = options.workers or most
    if on_gpus(options, cluster):
        room = max(1, int(cluster.gpus / options.gpu_share))
        return NetworkActors(min(room, asked, most), 0.0, options.gpu_share)
    own = min(threads, cluster.most_cpus or threads)
    room = max(1, int(cluster.cpus / own))
    count = min(options.workers or room, most)
    return NetworkActors(count, part_of_cpus(min(own, cluster.cpus / count)), 0.0)


def on_gpus(options: RayOptions, cluster: Cluster) -> bool:
    """Whether networks are on GPUs.

    Raises:
        DependencyError: they are asked for, and no node has one.
    """
    if options.device == "cuda" and not cluster.gpus:
        raise DependencyError("--device cuda: no node of the Ray cluster has a GPU; use cpu")
    return options.device != "cpu" and cluster.gpus > 0


def part_of_cpus(share: float) -> float:
    """A number of CPUs as Ray takes it: whole above 1, else not too small."""
    return float(int(share)) if share > 1 else max(0.01, int(100 * share) / 100)
