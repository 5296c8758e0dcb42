"""`RayOptions`: which Ray cluster works, and how it is divided; importing it needs no Ray."""

from __future__ import annotations

from dataclasses import dataclass

from fbridge.checks import check_range
from fbridge.errors import ConfigError

MOST_RAY_WORKERS = 100_000
RAY_DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class RayOptions:
    """How a Ray cluster is used.

    Attributes:
        address: of the cluster, "host:port"; None joins that of RAY_ADDRESS or one running on this
            machine, and else starts one here.
        workers: actors that decode or compute at the same time; None is as many as there is room
            for.
        device: of the networks: "auto" is a GPU each where the cluster has any.
        gpu_share: of a GPU for each network; 0.5 puts two on one.

    Raises:
        ConfigError: a value is out of range or unknown.
    """

    address: str | None = None
    workers: int | None = None
    device: str = "auto"
    gpu_share: float = 1.0

    def __post_init__(self) -> None:
        check_range("--workers", self.workers, 1, MOST_RAY_WORKERS)
        check_range("--gpu-share", self.gpu_share, 0.01, 1)
        if self.device not in RAY_DEVICES:
            raise ConfigError(
                f"--device {self.device}: with --engine ray it is one of {', '.join(RAY_DEVICES)}; "
                "Ray chooses which of them"
            )
