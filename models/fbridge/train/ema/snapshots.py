"""Snapshots of power-function averages, from which averages of any length are reconstructed.

    RUN/ema/<step>.safetensors    "<length>/<parameter>", float16; sharded: see `checkpoints.shards`

The header's metadata has one key, "fbridge": JSON with format, step and lengths.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from fbridge.errors import CheckpointError, ConfigError
from fbridge.files.atomic import HIDDEN_NAME, replacing, shown
from fbridge.train.checkpoints.collecting import collect
from fbridge.train.checkpoints.shards import ALONE, Processes, ShardedTensors, own_shard
from fbridge.train.checkpoints.tensor_file import write_tensors
from fbridge.train.ema.profiles import LONGEST, coefficients

FORMAT = 1
FOLDER = "ema"
_NAME = re.compile(r"(\d+)(?:-(\d{5})-of-(\d{5}))?\.safetensors")


def write_snapshot(
    run: Path,
    step: int,
    averages: Mapping[float, Mapping[str, Tensor]],
    *,
    processes: Processes = ALONE,
) -> None:
    """Write averages by relative length after step `step`; called by all processes.

    Raises:
        DependencyError: the files cannot be written; on every process.
    """
    folder = run / FOLDER
    part = own_shard(str(step), flatten(averages), processes)
    facts = {"format": FORMAT, "step": step, "lengths": list(averages)}

    def write() -> list[str]:
        if part is None:
            return []
        with replacing(folder / part.file) as hidden:
            write_tensors(hidden, part.tensors, part.header | facts, dtype=torch.float16)
        return [part.file]

    processes.agree(lambda: _clean(folder, step) if processes.rank == 0 else None)
    written = processes.agree(write)
    processes.agree(lambda: collect(folder, written, processes))


def flatten(averages: Mapping[float, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Averages by "<length>/<parameter>"."""
    return {
        f"{length}/{name}": tensor
        for length, average in averages.items()
        for name, tensor in average.items()
    }


def snapshots(run: Path) -> dict[int, list[Path]]:
    """Step -> files of every complete snapshot, oldest first."""
    found: dict[int, dict[int, list[Path]]] = {}
    for path in sorted((run / FOLDER).glob("*.safetensors")):
        if match := _NAME.fullmatch(path.name):
            found.setdefault(int(match[1]), {}).setdefault(int(match[3] or 1), []).append(path)
    whole = {}
    for step in sorted(found):
        for world, paths in found[step].items():
            if len(paths) == world:
                whole[step] = paths
    return whole


def reconstruct(run: Path, length: float, step: int | None = None) -> dict[str, Tensor]:
    """The average of a relative length at the newest snapshot up to `step`: float32, by parameter.

    A linear combination of all snapshots up to there, which are read one after another.

    Raises:
        ConfigError: the length is out of range.
        CheckpointError: there are no snapshots, or one cannot be read.
    """
    if not 0 < length < LONGEST:
        raise ConfigError(f"[ema] length: above 0 and below {LONGEST:.4f}, not {length}")
    files = {s: paths for s, paths in snapshots(run).items() if step is None or s <= step}
    if not files:
        until = "" if step is None else f" up to step {step}"
        raise CheckpointError(
            f"{shown(run / FOLDER)}: holds no snapshots{until}; train with [ema] kind 'post-hoc'"
        )
    known = [(own, s) for s, paths in files.items() for own in _lengths(paths)]
    factors = dict(zip(known, coefficients(known, (length, max(files))).tolist(), strict=True))
    total: dict[str, Tensor] = {}
    for at, paths in files.items():
        factor = {own: f for (own, s), f in factors.items() if s == at and f != 0}
        tensors = ShardedTensors(paths) if factor else {}
        for name in tensors:
            own, parameter = name.split("/", 1)
            if float(own) in factor:
                term = tensors[name].float().mul_(factor[float(own)])
                total[parameter] = total[parameter].add_(term) if parameter in total else term
    return total


def _clean(folder: Path, step: int) -> None:
    """Remove what killed runs left, and snapshots from `step` on: the run was resumed before it."""
    for left in folder.glob(".fbridge-*"):
        if HIDDEN_NAME.fullmatch(left.name):
            left.unlink(missing_ok=True)
    for path in folder.glob("*.safetensors"):
        if (match := _NAME.fullmatch(path.name)) and int(match[1]) >= step:
            path.unlink(missing_ok=True)


def _lengths(paths: list[Path]) -> list[float]:
    facts = ShardedTensors(paths).header
    if facts.get("format") != FORMAT:
        raise CheckpointError(
            f"{shown(paths[0])}: has format {facts.get('format')}, this fbridge reads {FORMAT}; "
            "use the fbridge that wrote it, or a newer one"
        )
    return [float(length) for length in facts["lengths"]]
