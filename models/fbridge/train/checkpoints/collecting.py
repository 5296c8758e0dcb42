"""Bring files to the first of processes that are on several machines, each with its own folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from fbridge.errors import DependencyError
from fbridge.files.atomic import replacing
from fbridge.train.checkpoints.shards import Processes

_AT_ONCE = 2**26
"""Bytes of a file that are sent at once."""


def collect(folder: Path, written: Sequence[Sequence[str]], processes: Processes) -> None:
    """Send the first process the files that it does not see; called by all processes.

    Args:
        folder: one that all processes see, or one of the same name on each machine.
        written: names of the files of each process, by rank.
        processes: of the run.

    Raises:
        DependencyError: on the first process, once all are sent: they cannot be written.
    """
    first = processes.rank == 0
    named = ((rank, name) for rank, names in enumerate(written) for name in names)
    unseen = [one for one in named if first and not (folder / one[1]).exists()]
    unseen = processes.gather_object(unseen)
    failures: list[DependencyError] = []
    for rank, name in unseen:
        if rank == processes.rank:
            _send(folder / name, processes.device)
        elif first:
            failures += _receive(folder / name, rank, processes.device)
    if failures:
        raise failures[0]


def _send(path: Path, device: torch.device) -> None:
    """Send a file, and remove it: should the first process only not see it yet, it gets it anew."""
    with path.open("rb") as file:
        path.unlink()
        left = os.fstat(file.fileno()).st_size
        dist.send(torch.tensor([left], device=device), 0)
        while left:
            part = bytearray(file.read(min(left, _AT_ONCE)))
            dist.send(torch.frombuffer(part, dtype=torch.uint8).to(device), 0)
            left -= len(part)


def _receive(path: Path, rank: int, device: torch.device) -> list[DependencyError]:
    """Write what a process sends; why that cannot be, if so: the rest is sent anyway."""
    failures: list[DependencyError] = []
    size = torch.empty(1, dtype=torch.int64, device=device)
    dist.recv(size, rank)
    left = int(size)
    try:
        with replacing(path) as hidden, hidden.open("wb") as file:
            while left:
                part = _next_part(left, rank, device)
                left -= len(part)
                file.write(part.numpy().data)
    except DependencyError as error:
        failures.append(error)
    while left:
        left -= len(_next_part(left, rank, device))
    return failures


def _next_part(left: int, rank: int, device: torch.device) -> Tensor:
    part = torch.empty(min(left, _AT_ONCE), dtype=torch.uint8, device=device)
    dist.recv(part, rank)
    return part.cpu()
