"""Sharded tensors on disk: every process writes its shards, any number of processes reads them.

A group of tensors is one file, `<stem>.safetensors`, or, if some are sharded (`DTensor`, as by
`torch.distributed.fsdp.fully_shard`), one per process, `<stem>-00001-of-00002.safetensors`. The
header's metadata has one key, "fbridge": JSON with the full shape and the offset of every shard.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

from fbridge.errors import CheckpointError, DependencyError
from fbridge.files.atomic import shown
from fbridge.train.checkpoints.tensor_file import KEY

T = TypeVar("T")
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Processes:
    """The processes of a run, as seen by one of them; by default it is the only one.

    Attributes:
        rank: index of this process.
        world: number of processes.
        gather_object: concatenates the lists of all processes, on every process
            (`accelerate.utils.gather_object`).
        device: whose tensors they can send to each other.
    """

    rank: int = 0
    world: int = 1
    gather_object: Callable[[list[Any]], list[Any]] = list
    device: torch.device = _CPU

    def agree(self, work: Callable[[], T]) -> list[T]:
        """Call `work` on every process; returns the results by rank.

        Raises:
            DependencyError: on all processes, if `work` raised it on any.
        """
        outcome: tuple[T | None, str | None]
        try:
            outcome = (work(), None)
        except DependencyError as error:
            outcome = (None, str(error))
        outcomes = self.gather_object([outcome])
        failures = [failure for _, failure in outcomes if failure is not None]
        if failures:
            raise DependencyError(failures[0])
        return [result for result, _ in outcomes]


ALONE = Processes()


@dataclass(frozen=True)
class FileContents:
    """What one process writes of a group.

    Attributes:
        file: name.
        tensors: whole ones, and this process's shards.
        header: JSON for the metadata.
    """

    file: str
    tensors: dict[str, Tensor]
    header: dict[str, Any]


@dataclass(frozen=True)
class _Shard:
    """A shard in a file: its own shape, the full tensor's shape, and its offset in that."""

    file: Path
    own: tuple[int, ...]
    shape: tuple[int, ...]
    offset: tuple[int, ...]


def local(tensor: Tensor) -> Tensor:
    """The tensor, or the local shard of a sharded one, detached."""
    bare = tensor.detach()
    return bare.to_local() if isinstance(bare, DTensor) else bare


def local_shard(tensor: Tensor, like: Tensor) -> Tensor:
    """The shard of `tensor`, whole or sharded like `like`, that corresponds to `local(like)`."""
    if isinstance(tensor, DTensor) or not isinstance(like, DTensor):
        return local(tensor)
    shape, offset = _shape_and_offset(like)
    return tensor.detach()[_slices(shape, offset)]


def shard_like(tensor: Tensor, like: Tensor, device: torch.device) -> Tensor:
    """A copy of a whole tensor on a device; sharded like `like` if that has the same shape."""
    if not isinstance(like, DTensor) or tensor.shape != like.shape:
        return tensor.detach().to(device, copy=True)
    return DTensor.from_local(
        local_shard(tensor, like).to(device, copy=True).contiguous(),
        like.device_mesh,
        like.placements,
        run_check=False,
        shape=like.shape,
        stride=like.stride(),
    )


def own_shard(
    stem: str, tensors: Mapping[str, Tensor], processes: Processes
) -> FileContents | None:
    """What this process writes of a group; None: nothing. Called by all processes."""
    sharded = processes.world > 1 and any(isinstance(t, DTensor) for t in tensors.values())
    if processes.rank > 0 and not sharded:
        return None
    own: dict[str, Tensor] = {}
    places: dict[str, dict[str, list[int]]] = {}
    for name, tensor in tensors.items():
        if not isinstance(tensor, DTensor):
            if processes.rank == 0:
                own[name] = tensor
            continue
        shape, offset = _shape_and_offset(tensor)
        if processes.world == 1 and shape != tuple(tensor.shape):
            raise ValueError(f"tensor {name!r} is sharded: pass the processes")
        if _writes(tensor, shape):
            own[name] = local(tensor)
            places[name] = {"shape": list(tensor.shape), "offset": list(offset)}
    if not sharded:
        return FileContents(f"{stem}.safetensors", own, {})
    number = f"{processes.rank + 1:05d}-of-{processes.world:05d}"
    return FileContents(f"{stem}-{number}.safetensors", own, {"format": 1, "pieces": places})


class ShardedTensors(Mapping[str, Tensor]):
    """The tensors of a group, on the CPU, read and joined on access.

    Args:
        files: all of the group.

    Raises:
        CheckpointError: a file cannot be read, or shards are missing.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = {file: _opened(file) for file in files}
        self._shards: dict[str, list[_Shard]] = {}
        for file, opened in self._files.items():
            for name, shard in _shards_in(file, opened):
                self._shards.setdefault(name, []).append(shard)
        for name, shards in self._shards.items():
            if sum(math.prod(shard.own) for shard in shards) != math.prod(shards[0].shape):
                raise CheckpointError(
                    f"{shown(shards[0].file)}: shards of {name!r} are missing; "
                    "use an older checkpoint"
                )

    @property
    def header(self) -> dict[str, Any]:
        """JSON in the metadata of the first file."""
        return _header(next(iter(self._files.values())))

    def __getitem__(self, name: str) -> Tensor:
        shards = self._shards[name]
        read = [self._files[shard.file].get_tensor(name) for shard in shards]
        # Copies: the mapped files may be deleted or replaced.
        if shards[0].own == shards[0].shape:
            return torch.clone(read[0])
        whole = torch.empty(shards[0].shape, dtype=read[0].dtype)
        for shard, tensor in zip(shards, read, strict=True):
            whole[_slices(shard.own, shard.offset)] = tensor
        return whole

    def __iter__(self) -> Iterator[str]:
        return iter(self._shards)

    def __len__(self) -> int:
        return len(self._shards)


def _shape_and_offset(tensor: DTensor) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shape and offset of this process's shard."""
    shape, offset = compute_local_shape_and_global_offset(
        tensor.shape, tensor.device_mesh, tensor.placements
    )
    return tuple(shape), tuple(offset)


def _writes(tensor: DTensor, shape: tuple[int, ...]) -> bool:
    """Whether this process is the first of those that hold its shard, and so writes it."""
    at = tensor.device_mesh.get_coordinate()
    if at is None:
        return False
    if any(placement.is_partial() for placement in tensor.placements):
        raise ValueError("a partial sum over processes cannot be saved")
    alike = (own for own, place in zip(at, tensor.placements, strict=True) if place.is_replicate())
    return not any(alike) and (math.prod(shape) > 0 or not any(at))


def _slices(shape: tuple[int, ...], offset: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(o, o + size) for o, size in zip(offset, shape, strict=True))


def _opened(file: Path) -> Any:
    try:
        return safe_open(file, framework="pt")
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{shown(file)}: cannot be read ({error}); use an older checkpoint"
        ) from None


def _header(opened: Any) -> dict[str, Any]:
    header: dict[str, Any] = json.loads((opened.metadata() or {}).get(KEY, "{}"))
    return header


def _shards_in(file: Path, opened: Any) -> Iterator[tuple[str, _Shard]]:
    pieces = _header(opened).get("pieces", {})
    for name in opened.keys():  # noqa: SIM118 - not a mapping
        own = tuple(opened.get_slice(name).get_shape())
        piece = pieces.get(name, {"shape": own, "offset": [0] * len(own)})
        yield name, _Shard(file, own, tuple(piece["shape"]), tuple(piece["offset"]))
