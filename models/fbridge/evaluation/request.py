"""The request of `fbridge eval`; importing it needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fbridge.checks import check_device, check_range
from fbridge.cluster.options import RayOptions
from fbridge.data.stores.url import StoreUrl
from fbridge.errors import ConfigError, DataError
from fbridge.evaluation.protocol import Protocol
from fbridge.files.atomic import shown

MOST_WORKERS = 256


@dataclass(frozen=True)
class EvalRequest:
    """What is evaluated, and how.

    Attributes:
        generated: where the generated videos are, also by URL; None evaluates the run of
            ./fbridge.toml, the latest run below ./runs, or the embedded model on its demo, whose
            videos are made first.
        reference: where the real ones are; None for metrics that need none.
        metrics: names of metrics, in the order of the result.
        protocol: of all of them.
        title: heading of the result; empty is the name of the generated side.
        rows: of a prepared data set as reference, only rows with these ids; None is all.
        pictures: folder of the pictures that clips were made from, by key.
        baselines: also score the baselines that numbers are compared with.
        skip_bad: leave out clips that cannot be used, instead of stopping.
        workers: processes that decode and compute; 0 is none beside this one.
        cache: file of the feature cache; None caches nothing.
        device: of the networks.
        codec: its round trip is a baseline; empty for none.
        make: how many videos are made at most where no generated ones are named; None is 64 of a
            run, 32 of the demo.
        offline: download no missing networks.
        notes: lines that go into the result.
        ray: the cluster that computes features in place of `workers` and `device`; None is none.

    Raises:
        ConfigError: a value is out of range, or there is no metric.
        DataError: a path does not exist.
    """

    generated: Path | StoreUrl | None
    reference: Path | StoreUrl | None
    metrics: tuple[str, ...]
    protocol: Protocol
    title: str = ""
    rows: frozenset[str] | None = None
    pictures: Path | None = None
    baselines: bool = True
    skip_bad: bool = False
    workers: int = 0
    cache: Path | None = None
    device: str = "cpu"
    codec: str = ""
    make: int | None = None
    offline: bool = False
    notes: tuple[str, ...] = ()
    ray: RayOptions | None = None

    def __post_init__(self) -> None:
        """Check the values, and that both sides exist."""
        check_device(self.device)
        check_range("--workers", self.workers, 0, MOST_WORKERS)
        for name, path in (("GENERATED", self.generated), ("--reference", self.reference)):
            if isinstance(path, Path) and not path.exists():
                raise DataError(f"{name} {shown(path)}: does not exist; check the path")
        if self.ray is not None and self.generated is None:
            raise ConfigError(
                "--engine ray: measures videos that are there; name them: GENERATED, or drop it"
            )
        for name, path in (("GENERATED", self.generated), ("--reference", self.reference)):
            if self.ray is not None and isinstance(path, StoreUrl):
                raise ConfigError(
                    f"--engine ray: {name} {path} would be copied to this machine alone, and nodes "
                    "read files that all of them see; copy it there, or drop --engine"
                )
        if self.reference is not None and self.generated is None:
            raise ConfigError("--reference: name the generated videos too, before it")
        if not self.metrics:
            raise ConfigError(
                "no metric given; --metric fvd, or several with commas; --list prints all"
            )
