"""Checkpoints of a run: safetensors and JSON, written atomically.

    RUN/checkpoint-<step>/<group>.safetensors    tensors of a group: network, optimizer, ema, ...
    RUN/checkpoint-<step>/checkpoint.json        format, step, facts; every file's size and sha256
    RUN/.checkpoint-<step>.part/                 being written or removed, or left by a kill
    RUN/.checkpoint-<step>.old/                  being replaced by another

All files are written into the hidden folder, `checkpoint.json` last, and synced, before a rename
makes the folder a checkpoint. Nothing is pickled. Sharded tensors: see `shards`.

torch.distributed.checkpoint is not used: it pickles its metadata, keeps no hashes, writes in place
(old and new files mix after a kill), and its get_state_dict raises on schedule-free optimizers.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from fbridge.data.latents.format import hash_file
from fbridge.errors import CheckpointError, DependencyError
from fbridge.files.atomic import shown, write_failure
from fbridge.train.checkpoints.shards import ALONE, Processes, ShardedTensors, own_shard
from fbridge.train.checkpoints.tensor_file import Written, sync_folder, write_json, write_tensors

FORMAT = 1
INDEX = "checkpoint.json"
_NAME = re.compile(r"checkpoint-(\d+)")
_ASIDE = re.compile(r"\.checkpoint-(\d+)\.old")
_PART = re.compile(r"\.checkpoint-(\d+)\.part")


class NewerCheckpointError(CheckpointError):
    """A checkpoint written by a newer fbridge."""


class _DamagedError(CheckpointError):
    """A file of a checkpoint differs from what was written."""

    def __init__(self, file: Path) -> None:
        super().__init__(shown(file))
        self.file = file


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint.

    Attributes:
        step: optimiser steps done.
        path: its folder.
        facts: the JSON passed to `save_checkpoint`.
        groups: file names of every group of tensors.
        files: size and sha256 of every file.
    """

    step: int
    path: Path
    facts: dict[str, Any]
    groups: dict[str, list[str]]
    files: dict[str, Written]


def checkpoints(run: Path) -> list[Checkpoint]:
    """The complete checkpoints of a run, oldest first."""
    found = []
    for path in _folders(run):
        with suppress(CheckpointError):
            found.append(_read(path))
    return found


def newest(run: Path) -> Checkpoint | None:
    """The newest complete checkpoint of a run; None if there is none.

    Raises:
        CheckpointError: a newer one was written by a newer fbridge.
    """
    for path in reversed(_folders(run)):
        try:
            return _read(path)
        except NewerCheckpointError:
            raise
        except CheckpointError:
            continue
    return None


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint's index and check that its files are there with their sizes.

    Raises:
        CheckpointError: it is incomplete, or written by a newer fbridge.
    """
    try:
        return _read(path)
    except _DamagedError as error:
        raise _damaged(error.file, path) from None


def open_group(checkpoint: Checkpoint, name: str) -> ShardedTensors:
    """The tensors of a group, whole and on the CPU, read on access.

    Raises:
        CheckpointError: there is no such group, or one of its files is damaged.
    """
    if name not in checkpoint.groups:
        raise CheckpointError(
            f"{shown(checkpoint.path)}: was saved without {name!r}, "
            f"only with {', '.join(checkpoint.groups)}; "
            "resume with the settings of the run that saved it"
        )
    paths = [checkpoint.path / file for file in checkpoint.groups[name]]
    for path in paths:
        try:
            intact = hash_file(path) == checkpoint.files[path.name].sha256
        except OSError:
            intact = False
        if not intact:
            raise _damaged(path, checkpoint.path)
    return ShardedTensors(paths)


def load_group(checkpoint: Checkpoint, name: str) -> dict[str, Tensor]:
    """All of `open_group` at once."""
    return dict(open_group(checkpoint, name))


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
        tree = {"format": FORMAT, "step": step, "facts": dict(facts), **_joined(written)}
        processes.agree(lambda: _finish(run, partial, path, tree) if first else None)
    finally:
        if first:
            shutil.rmtree(partial, ignore_errors=True)
    if first:
        _prune(run, step, keep, best)
    return path


def _read(path: Path) -> Checkpoint:
    index = path / INDEX
    try:
        tree = json.loads(index.read_text(encoding="utf-8"))
        version = tree["format"]
    except OSError:
        raise CheckpointError(f"{shown(path)}: is no checkpoint of a training run") from None
    except (ValueError, KeyError, TypeError):
        raise _DamagedError(index) from None
    if version != FORMAT:
        raise NewerCheckpointError(
            f"{shown(index)}: has format {version}, this fbridge reads {FORMAT}; "
            "use the fbridge that wrote it, or a newer one"
        )
    try:
        files = {name: Written(**file) for name, file in tree["files"].items()}
        own = Checkpoint(int(tree["step"]), path, tree["facts"], tree["groups"], files)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise _DamagedError(index) from None
    for name, file in files.items():
        if not (path / name).is_file() or (path / name).stat().st_size != file.bytes:
            raise _DamagedError(path / name)
    return own


def _folders(run: Path) -> list[Path]:
    """Folders of all checkpoints, oldest first; `.old` ones count if not yet replaced."""
    found = {int(match[1]): path for path, match in _matching(run, _ASIDE)}
    found |= {int(match[1]): path for path, match in _matching(run, _NAME)}
    return [found[step] for step in sorted(found)]


def _matching(run: Path, pattern: re.Pattern[str]) -> list[tuple[Path, re.Match[str]]]:
    matches = ((path, pattern.fullmatch(path.name)) for path in run.glob("*checkpoint-*"))
    return [(path, match) for path, match in matches if match]


def _begin(run: Path, partial: Path) -> None:
    """Remove what killed runs left, and make the hidden folder."""
    with _write_errors(run, run):
        for aside, match in _matching(run, _ASIDE):
            place = run / f"checkpoint-{match[1]}"
            if not place.exists():
                aside.rename(place)
        for left, _ in _matching(run, _ASIDE) + _matching(run, _PART):
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
    for name, tensors in groups.items():
        part = own_shard(name, tensors, processes)
        written[name] = {}
        if part is not None:
            with _write_errors(run, path / part.file):
                file = write_tensors(partial / part.file, part.tensors, part.header)
            written[name][part.file] = file
    return written


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
        write_json(partial / INDEX, tree)
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
        whole = checkpoints(run)
        last = f"the last good checkpoint is {shown(whole[-1].path)}" if whole else "none was saved"
        raise DependencyError(f"{write_failure(path, error)}; {last}") from None


def _damaged(file: Path, path: Path) -> CheckpointError:
    """The error of a damaged file, which names the checkpoint to use instead."""
    match = _NAME.fullmatch(path.name)
    older = [c for c in checkpoints(path.parent) if match and c.step < int(match[1])]
    way_out = (
        f"resume from the older {shown(older[-1].path)}"
        if older
        else "there is no older one; start again or restore it"
    )
    return CheckpointError(f"{shown(file)}: is damaged or incomplete; {way_out}")
