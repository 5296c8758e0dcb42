"""What a Ray cluster consists of, and whether its nodes have the packages of this machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fbridge.cluster.connect import Cluster

PACKAGES = ("fbridge", "torch", "diffusers", "ray", "av")
"""Those whose versions are compared, besides Python's."""
_ANSWER = 60.0  # seconds for all nodes


def versions() -> dict[str, str]:
    """Versions of Python and of PACKAGES here, whatever the build; "" of one that is missing."""
    found: dict[str, str] = _asker()()
    return found


def report(cluster: Cluster) -> dict[str, Any]:
    """The cluster and its nodes, as JSON values.

    Every node that is alive tells its versions; "mismatches" lists in words where they are not
    those of this process, and nodes that do not answer.
    """
    import ray

    nodes = sorted(
        (node for node in ray.nodes() if node["Alive"]), key=lambda node: str(node["NodeID"])
    )
    here = versions()
    told = _ask([str(node["NodeID"]) for node in nodes])
    rows = [_row(node, there) for node, there in zip(nodes, told, strict=True)]
    return {
        "address": cluster.address,
        "started_here": cluster.started,
        "versions": here,
        "nodes": rows,
        "mismatches": [line for row in rows for line in _mismatches(row, here)],
    }


def _row(node: dict[str, Any], there: dict[str, str] | None) -> dict[str, Any]:
    resources = node["Resources"]
    return {
        "name": node["NodeManagerHostname"],
        "address": node["NodeManagerAddress"],
        "cpus": resources.get("CPU", 0.0),
        "gpus": resources.get("GPU", 0.0),
        "memory": resources.get("memory", 0.0),
        "object_store": resources.get("object_store_memory", 0.0),
        "versions": there,
    }


def _ask(nodes: Sequence[str]) -> list[dict[str, str] | None]:
    """The versions on each node; None of those that do not answer in time."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    asked = ray.remote(_asker())
    there = (NodeAffinitySchedulingStrategy(node, soft=False) for node in nodes)
    answers = [
        asked.options(num_cpus=0, max_retries=1, scheduling_strategy=place).remote()
        for place in there
    ]
    done, _ = ray.wait(answers, num_returns=len(answers), timeout=_ANSWER)
    return [_answer(answer) if answer in done else None for answer in answers]


def _answer(reference: Any) -> dict[str, str] | None:
    import ray

    try:
        found: dict[str, str] = ray.get(reference)
    except ray.exceptions.RayError:
        return None
    return found


def _asker() -> Any:
    """The function behind `versions`, sent whole: a node without fbridge must be able to say so."""
    packages = PACKAGES

    def ask() -> dict[str, str]:
        import platform
        from importlib import metadata

        found = {"python": platform.python_version()}
        for name in packages:
            try:
                found[name] = metadata.version(name).partition("+")[0]
            except metadata.PackageNotFoundError:
                found[name] = ""
        return found

    return ask


def _mismatches(row: dict[str, Any], here: dict[str, str]) -> list[str]:
    where = f"{row['name']} ({row['address']})"
    if row["versions"] is None:
        return [f"{where}: does not answer"]
    return [
        f"{where}: has {f'{name} {there}' if there else f'no {name}'}, this machine {here[name]}"
        for name, there in row["versions"].items()
        if there != here[name]
    ]
