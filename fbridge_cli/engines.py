"""The options --engine and --ray-address, which commands share, and the report on a cluster."""

from __future__ import annotations

from typing import Any

from fbridge.checks import check_choice
from fbridge.choices import ENGINES
from fbridge.errors import ConfigError
from fbridge_cli.ui import Ui


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
