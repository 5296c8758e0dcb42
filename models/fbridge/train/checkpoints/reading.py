"""Finding and reading the checkpoints of a run; `checkpoint` describes and writes them."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from fbridge.data.latents.format import hash_file
from fbridge.errors import CheckpointError
from fbridge.files.atomic import shown
from fbridge.files.schema import ClosedForm, form_fault
from fbridge.files.sealed import read_sealed
from fbridge.train.checkpoints.shards import ShardedTensors
from fbridge.train.checkpoints.tensor_file import Written

FORMAT = 1
INDEX = "checkpoint.json"
NAME = re.compile(r"checkpoint-(\d+)")
ASIDE = re.compile(r"\.checkpoint-(\d+)\.old")
PART = re.compile(r"\.checkpoint-(\d+)\.part")


class NewerCheckpointError(CheckpointError):
    """A checkpoint written by a newer fbridge."""


class _DamagedError(CheckpointError):
    """A file of a checkpoint differs from what was written."""

    def __init__(self, file: Path) -> None:
        super().__init__(shown(file))
        self.file = file


class _FileForm(ClosedForm):
    bytes: int
    sha256: str


class _IndexForm(ClosedForm):
    format: int
    step: int
    facts: dict[str, Any]
    groups: dict[str, list[str]]
    files: dict[str, _FileForm]


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint.

    Attributes:
        step: optimiser steps done.
        path: its folder.
        facts: the JSON passed to `save_checkpoint`.
        groups: file names of every group of tensors.
        files: size and sha256 of every file.
        verified: whether all files have been compared with their hashes.
    """

    step: int
    path: Path
    facts: dict[str, Any]
    groups: dict[str, list[str]]
    files: dict[str, Written]
    verified: bool = False


class Chosen(NamedTuple):
    """The checkpoint that a run goes on from, if any, and the damaged files of newer ones."""

    checkpoint: Checkpoint | None
    damaged: tuple[Path, ...] = ()


def checkpoints(run: Path) -> list[Checkpoint]:
    """The complete checkpoints of a run, oldest first; files are compared by size alone."""
    found = []
    for path in _folders(run):
        with suppress(CheckpointError):
            found.append(_read(path))
    return found


def newest(run: Path) -> Checkpoint | None:
    """The newest of `checkpoints`; None if there is none.

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


def newest_whole(run: Path) -> Chosen:
    """The newest checkpoint whose files all have the hashes that they were written with.

    Raises:
        CheckpointError: a newer one was written by a newer fbridge.
    """
    damaged: list[Path] = []
    for path in reversed(_folders(run)):
        try:
            return Chosen(verified(_read(path)), tuple(damaged))
        except _DamagedError as error:
            damaged.append(error.file)
        except NewerCheckpointError:
            raise
        except CheckpointError:
            damaged.append(path / INDEX)
    return Chosen(None, tuple(damaged))


def checkpoint_of_step(run: Path, step: int) -> Checkpoint:
    """The checkpoint of a step, its files compared with their hashes.

    Raises:
        CheckpointError: there is none, or it is damaged.
    """
    for found in checkpoints(run):
        if found.step == step:
            try:
                return verified(found)
            except _DamagedError as error:
                raise _damaged(error.file, found.path) from None
    there = ", ".join(str(found.step) for found in checkpoints(run)) or "none"
    raise CheckpointError(f"{shown(run)}: has no checkpoint of step {step}; there are: {there}")


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
    for path in paths if not checkpoint.verified else ():
        if not _is_intact(checkpoint, path.name):
            raise _damaged(path, checkpoint.path)
    return ShardedTensors(paths)


def load_group(checkpoint: Checkpoint, name: str) -> dict[str, Tensor]:
    """All of `open_group` at once."""
    return dict(open_group(checkpoint, name))


def matching(run: Path, pattern: re.Pattern[str]) -> list[tuple[Path, re.Match[str]]]:
    """Folders of a run with a name of checkpoints: NAME, ASIDE or PART."""
    matches = ((path, pattern.fullmatch(path.name)) for path in run.glob("*checkpoint-*"))
    return [(path, match) for path, match in matches if match]


def verified(checkpoint: Checkpoint) -> Checkpoint:
    """A checkpoint whose files all have the hashes that they were written with.

    Raises:
        CheckpointError: one has not.
    """
    for name in checkpoint.files:
        if not _is_intact(checkpoint, name):
            raise _DamagedError(checkpoint.path / name)
    return replace(checkpoint, verified=True)


def _is_intact(checkpoint: Checkpoint, name: str) -> bool:
    try:
        return hash_file(checkpoint.path / name) == checkpoint.files[name].sha256
    except OSError:
        return False


def _read(path: Path) -> Checkpoint:
    index = path / INDEX
    try:
        tree = read_sealed(index.read_text(encoding="utf-8"), FORMAT)
    except OSError:
        raise CheckpointError(f"{shown(path)}: is no checkpoint of a training run") from None
    except (ValueError, RecursionError):
        raise _DamagedError(index) from None
    version = tree.get("format")
    if isinstance(version, int) and version != FORMAT:
        raise NewerCheckpointError(
            f"{shown(index)}: has format {version}, this fbridge reads {FORMAT}; "
            "use the fbridge that wrote it, or a newer one"
        )
    if form_fault(_IndexForm, tree):
        raise _DamagedError(index)
    named = {name for group in tree["groups"].values() for name in group}
    if named != set(tree["files"]) or any(Path(name).name != name for name in named):
        raise _DamagedError(index)
    files = {name: Written(**file) for name, file in tree["files"].items()}
    for name, file in files.items():
        if not (path / name).is_file() or (path / name).stat().st_size != file.bytes:
            raise _DamagedError(path / name)
    return Checkpoint(tree["step"], path, tree["facts"], tree["groups"], files)


def _folders(run: Path) -> list[Path]:
    """Folders of all checkpoints, oldest first; `.old` ones count if not yet replaced."""
    found = {int(match[1]): path for path, match in matching(run, ASIDE)}
    found |= {int(match[1]): path for path, match in matching(run, NAME)}
    return [found[step] for step in sorted(found)]


def _damaged(file: Path, path: Path) -> CheckpointError:
    """The error of a damaged file, which names the checkpoint to use instead."""
    match = NAME.fullmatch(path.name)
    older = [c for c in checkpoints(path.parent) if match and c.step < int(match[1])]
    way_out = (
        f"resume from the older {shown(older[-1].path)}"
        if older
        else "there is no older one; start again or restore it"
    )
    return CheckpointError(f"{shown(file)}: is damaged or incomplete; {way_out}")
