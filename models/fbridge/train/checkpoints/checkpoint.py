"""Checkpoints of a run: safetensors and JSON, written atomically.

    RUN/checkpoint-<step>/<group>.safetensors    tensors of a group: network, optimizer, ema, ...
    RUN/checkpoint-<step>/checkpoint.json        format, step, facts; every file's size and sha256,
                                                 and its own
    RUN/.checkpoint-<step>.part/                 being written or removed, or left by a kill
    RUN/.checkpoint-<step>.old/                  being replaced by another

All files are written into the hidden folder, `checkpoint.json` last, and synced, before a rename
makes the folder a checkpoint. Nothing is pickled. Sharded tensors: see `shards`; of processes on
machines that share no folder, the first one's has all files.

torch.distributed.checkpoint is not used: it pickles its metadata, keeps no hashes, writes in place
(old and new files mix after a kill), and its get_state_dict raises on schedule-free optimizers.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from fbridge.errors import DependencyError
from fbridge.files.atomic import shown, write_failure
from fbridge.files.sealed import sealed_text
from fbridge.train.checkpoints.collecting import collect
from fbridge.train.checkpoints.reading import ASIDE, FORMAT, INDEX, PART, checkpoints, matching
from fbridge.train.checkpoints.shards import ALONE, Processes, own_shard
from fbridge.train.checkpoints.tensor_file import Written, sync_folder, write_synced, write_tensors


def save_checkpoint(
    run: Path,
    step: int,
    groups: Mapping[str, Mapping[str, Tensor]],
    facts: Mapping[str, Any],
    *,
    keep: int,
    best: int | None = None,
    processes: Processes = ALONE,
) -> Path:
    """Write `RUN/checkpoint-<step>`; called by all processes.

    Then remove all but the newest `keep` and that of step `best`. Later steps, from before the run
    was resumed, are removed too.

    Raises:
        DependencyError: it cannot be written (no room, no permission, ...); on every process.
    """
    path, partial = run / f"checkpoint-{step}", run / f".checkpoint-{step}.part"
    first = processes.rank == 0
    try:
        processes.agree(lambda: _begin(run, partial) if first else None)
        written = processes.agree(lambda: _write_groups(run, partial, path, groups, processes))
        processes.agree(lambda: _collect(run, partial, path, written, processes))
        tree = {"format": FORMAT, "step": step, "facts": dict(facts), **_joined(written)}
        processes.agree(lambda: _finish(run, partial, path, tree) if first else None)
    finally:  # on every process: another machine may have a folder of its own
        shutil.rmtree(partial, ignore_errors=True)
    if first:
        _prune(run, step, keep, best)
    return path


def _begin(run: Path, partial: Path) -> None:
    """Remove what killed runs left, and make the hidden folder."""
    with _write_errors(run, run):
        for aside, match in matching(run, ASIDE):
            place = run / f"checkpoint-{match[1]}"
            if not place.exists():
                aside.rename(place)
        for left, _ in matching(run, ASIDE) + matching(run, PART):
            shutil.rmtree(left)
        partial.mkdir(parents=True)


def _write_groups(
    run: Path,
    partial: Path,
    path: Path,
    groups: Mapping[str, Mapping[str, Tensor]],
    processes: Processes,
) -> dict[str, dict[str, Written]]:
    """Write this process's files: group -> file -> size and sha256."""
    written: dict[str, dict[str, Written]] = {}
    with _write_errors(run, path):
        partial.mkdir(parents=True, exist_ok=True)
    for name, tensors in groups.items():
        part = own_shard(name, tensors, processes)
        written[name] = {}
        if part is not None:
            with _write_errors(run, path / part.file):
                file = write_tensors(partial / part.file, part.tensors, part.header)
            written[name][part.file] = file
    return written


def _collect(
    run: Path,
    partial: Path,
    path: Path,
    written: list[dict[str, dict[str, Written]]],
    processes: Processes,
) -> None:
    """Have the first process see the files of all."""
    names = [[file for those in own.values() for file in those] for own in written]
    try:
        collect(partial, names, processes)
    except DependencyError as error:
        why = str(error).replace(shown(partial), shown(path))
        raise DependencyError(f"{why}; {_last_good(run)}") from None


def _joined(written: list[dict[str, dict[str, Written]]]) -> dict[str, Any]:
    """Groups and files of all processes, as `checkpoint.json` has them."""
    groups: dict[str, list[str]] = {name: [] for name in written[0]}
    files: dict[str, dict[str, Any]] = {}
    for own in written:
        for name, those in own.items():
            groups[name] += those
            files |= {file: asdict(facts) for file, facts in those.items()}
    return {"groups": groups, "files": files}


def _finish(run: Path, partial: Path, path: Path, tree: dict[str, Any]) -> None:
    """Write the index and rename the folder: from then on the checkpoint exists."""
    aside = run / f".{path.name}.old"
    with _write_errors(run, path / INDEX):
        write_synced(partial / INDEX, sealed_text(tree))
        sync_folder(partial)
        if path.exists():  # the run was resumed from an older one
            path.rename(aside)
        partial.rename(path)
        sync_folder(run)
        shutil.rmtree(aside, ignore_errors=True)


def _prune(run: Path, step: int, keep: int, best: int | None) -> None:
    """Remove superfluous checkpoints; ignore those that cannot be removed."""
    whole = checkpoints(run)
    earlier = [checkpoint.step for checkpoint in whole if checkpoint.step <= step]
    kept = {*earlier[-keep:], step, best}
    for checkpoint in whole:
        if checkpoint.step not in kept:
            old = run / f".{checkpoint.path.name}.part"
            with suppress(OSError):
                checkpoint.path.rename(old)
                shutil.rmtree(old)


@contextmanager
def _write_errors(run: Path, path: Path) -> Iterator[None]:
    """Turn an OSError about `path` into an error that names the last good checkpoint."""
    try:
        yield
    except OSError as error:
        raise DependencyError(f"{write_failure(path, error)}; {_last_good(run)}") from None


def _last_good(run: Path) -> str:
    whole = checkpoints(run)
    return f"the last good checkpoint is {shown(whole[-1].path)}" if whole else "none was saved"
