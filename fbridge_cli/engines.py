"""Who does the work: --engine and its options, processes together, the report on a cluster."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from fbridge.checks import check_choice
from fbridge.choices import ENGINES
from fbridge.errors import ConfigError
from fbridge_cli.processes import Process
from fbridge_cli.ui import Ui

if TYPE_CHECKING:
    from fbridge.cluster.options import RayOptions
    from fbridge.evaluation.run import Share

PATIENCE = timedelta(days=7)
"""How long processes wait for the slowest one."""


def chosen_engine(engine: str, **ray_only: object) -> bool:
    """Whether Ray does the work.

    Args:
        engine: as it was typed.
        ray_only: options that only Ray has, by name; None where they were not given.

    Raises:
        ConfigError: it is no engine, or one of the options would have no effect.
    """
    check_choice("--engine", engine, ENGINES)
    if engine == "ray":
        return True
    for name, value in ray_only.items():
        if value is not None:
            word = f"--{name.replace('_', '-')}"
            raise ConfigError(
                f"{word} {value}: is about a Ray cluster; add --engine ray, or drop {word}"
            )
    return False


def ray_options(
    engine: str,
    process: Process,
    *,
    ray_address: str | None,
    gpu_share: float | None,
    device: str,
    workers: int | None = None,
) -> RayOptions | None:
    """How a cluster does the work; None where this machine does.

    Args:
        engine: as it was typed, like all options.
        process: this one, which must be the only one.
        ray_address: see `RayOptions`, also for the others.
        gpu_share: 1 by default.
        device: of the networks.
        workers: None is as many as there is room for.

    Raises:
        ConfigError: one of them is not possible, or has no effect.
    """
    if not chosen_engine(engine, ray_address=ray_address, gpu_share=gpu_share):
        return None
    if process.world > 1:
        raise ConfigError(
            f"--engine ray: is driven by one process, not by {process.world}; start it without "
            "accelerate launch"
        )
    from fbridge.cluster.options import RayOptions

    return RayOptions(ray_address, workers, device, 1.0 if gpu_share is None else gpu_share)


def share_of(process: Process, device: str) -> Share:
    """The part of an evaluation that a process of a launch does."""
    from fbridge.evaluation.run import Share

    if process.world == 1:
        return Share()
    from accelerate import PartialState

    together = PartialState(cpu=device == "cpu", timeout=PATIENCE)
    return Share(process.number, process.world, together.wait_for_everyone)


def ask_cluster(address: str | None) -> dict[str, Any]:
    """What a cluster has; see `fbridge.cluster.report`."""
    from fbridge.cluster.connect import join
    from fbridge.cluster.report import report

    with join(address) as cluster:
        return report(cluster)


def show_cluster(found: dict[str, Any], ui: Ui) -> None:
    """Print the report, with a warning for each node that differs from this machine."""
    where = "started here" if found["started_here"] else f"at {found['address']}"
    ui.result("")
    ui.result(f"Ray cluster: {where}")
    rows = []
    for node in found["nodes"]:
        told = node["versions"] or {}
        rows.append([
            f"{node['name']} ({node['address']})", f"{node['cpus']:g}", f"{node['gpus']:g}",
            f"{node['memory'] / 1e9:.1f} GB", f"{node['object_store'] / 1e9:.1f} GB",
            *(told.get(name, "") or "none" for name in found["versions"]),
        ])  # fmt: skip
    ui.table(["node", "CPUs", "GPUs", "memory", "object store", *found["versions"]], rows)
    for line in found["mismatches"]:
        ui.warn(f"{line}; install the same on all nodes")
