"""Tensors that several processes hold pieces of: every one writes its own, any number reads them.

A group of tensors is one file, `<stem>.safetensors`, or, where some are sharded (a `DTensor`, as
`torch.distributed.fsdp.fully_shard` makes them), one a process,
`<stem>-00001-of-00002.safetensors`.
The header's metadata has one key, "fbridge": JSON that knows, for every piece of a larger tensor,
that tensor's shape and where the piece begins.
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


@dataclass(frozen=True)
class Processes:
    """The processes of a run, as seen by one of them; the default is one alone.

    Attributes:
        rank: which one this is.
        world: how many there are.
        gather_object: a list from every process -> all of them behind one another, on every
            process (`accelerate.utils.gather_object`).
    """

    rank: int = 0
    world: int = 1
    gather_object: Callable[[list[Any]], list[Any]] = list

    def agree(self, work: Callable[[], T]) -> list[T]:
        """Do something on every process: results by rank, once all have one.

        Raises:
            DependencyError: on all of them, when `work` raised it on any.
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
class Part:
    """What one process has to write of a group.

    Attributes:
        file: the name of its file.
        tensors: own ones, and own pieces of sharded ones.
        header: what its header has to say beside.
    """

    file: str
    tensors: dict[str, Tensor]
    header: dict[str, Any]


@dataclass(frozen=True)
class _Place:
    """Where a piece lies: in which file, how large, of how large a tensor, from where on."""

    file: Path
    own: tuple[int, ...]
    shape: tuple[int, ...]
    offset: tuple[int, ...]


def local(tensor: Tensor) -> Tensor:
    """The memory of a tensor in this process, without its history."""
    bare = tensor.detach()
    return bare.to_local() if isinstance(bare, DTensor) else bare


def local_part(tensor: Tensor, like: Tensor) -> Tensor:
    """Of `tensor`, whole or sharded like `like`: what `local(like)` is of `like`."""
    if isinstance(tensor, DTensor) or not isinstance(like, DTensor):
        return local(tensor)
    shape, offset = _place_of(like)
    return tensor.detach()[_slices(shape, offset)]


def sharded_like(tensor: Tensor, like: Tensor, device: torch.device) -> Tensor:
    """A copy of a whole tensor on a device, sharded as `like` is if that is of the same shape."""
    if not isinstance(like, DTensor) or tensor.shape != like.shape:
        return tensor.detach().to(device, copy=True)
    part = local_part(tensor, like).to(device, copy=True).contiguous()
    return DTensor.from_local(
        part,
        like.device_mesh,
        like.placements,
        run_check=False,
        shape=like.shape,
        stride=like.stride(),
    )


def own_part(stem: str, tensors: Mapping[str, Tensor], processes: Processes) -> Part | None:
    """What this process has to write of a group, the same on all of them; None is nothing."""
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
        shape, offset = _place_of(tensor)
        if processes.world == 1 and shape != tuple(tensor.shape):
            raise ValueError(f"tensor {name!r} is sharded: hand in the processes")
        if _writes(tensor, shape):
            own[name] = local(tensor)
            places[name] = {"shape": list(tensor.shape), "offset": list(offset)}
    if not sharded:
        return Part(f"{stem}.safetensors", own, {})
    number = f"{processes.rank + 1:05d}-of-{processes.world:05d}"
    return Part(f"{stem}-{number}.safetensors", own, {"format": 1, "pieces": places})


class Pieces(Mapping[str, Tensor]):
    """The whole tensors of a group, on the CPU, put together when asked for.

    Args:
        files: all of the group.

    Raises:
        CheckpointError: a file cannot be read, or pieces are missing.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = {file: _opened(file) for file in files}
        self._places: dict[str, list[_Place]] = {}
        for file, opened in self._files.items():
            for name, place in _places_in(file, opened):
                self._places.setdefault(name, []).append(place)
        for name, places in self._places.items():
            if sum(math.prod(place.own) for place in places) != math.prod(places[0].shape):
                raise CheckpointError(
                    f"{shown(places[0].file)}: pieces of {name!r} are missing; "
                    "use an older checkpoint"
                )

    @property
    def header(self) -> dict[str, Any]:
        """What the header of the first file says beside."""
        return _header(next(iter(self._files.values())))

    def __getitem__(self, name: str) -> Tensor:
        places = self._places[name]
        pieces = [self._files[place.file].get_tensor(name) for place in places]
        # Copies, as the mapped files may be deleted or replaced.
        if places[0].own == places[0].shape:
            return torch.clone(pieces[0])
        whole = torch.empty(places[0].shape, dtype=pieces[0].dtype)
        for place, piece in zip(places, pieces, strict=True):
            whole[_slices(place.own, place.offset)] = piece
        return whole

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _place_of(tensor: DTensor) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shape and beginning of the piece that this process has."""
    shape, offset = compute_local_shape_and_global_offset(
        tensor.shape, tensor.device_mesh, tensor.placements
    )
    return tuple(shape), tuple(offset)


def _writes(tensor: DTensor, shape: tuple[int, ...]) -> bool:
    """Whether it falls to this process to write its piece: the first of those that have it."""
    at = tensor.device_mesh.get_coordinate()
    if at is None:
        return False
    if any(placement.is_partial() for placement in tensor.placements):
        raise ValueError("a sum that is still to be made over processes cannot be saved")
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


def _places_in(file: Path, opened: Any) -> Iterator[tuple[str, _Place]]:
    pieces = _header(opened).get("pieces", {})
    for name in opened.keys():  # noqa: SIM118 - it is no mapping
        own = tuple(opened.get_slice(name).get_shape())
        piece = pieces.get(name, {"shape": own, "offset": [0] * len(own)})
        yield name, _Place(file, own, tuple(piece["shape"]), tuple(piece["offset"]))
