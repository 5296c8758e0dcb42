"""Weights that are read when they are asked for, so that one tensor at a time is in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from fbridge.errors import CheckpointError, reason

Shape = tuple[int, ...]
Convert = Callable[[dict[str, Tensor]], dict[str, Tensor]]
"""From one program's names and layers to another's."""


class LazyWeights(Mapping[str, Tensor]):
    """Tensors by name, each read when it is asked for, and again when it is asked for again.

    Args:
        path: of the file, for messages.
        readers: of the tensors; what they give is the caller's own.
        shapes: of the tensors.

    Attributes:
        shapes: of the tensors, which takes no reading.
    """

    def __init__(
        self,
        path: Path,
        readers: Mapping[str, Callable[[], Tensor]],
        shapes: Mapping[str, Shape],
    ) -> None:
        self._path, self._readers, self.shapes = path, readers, shapes

    @classmethod
    def of(cls, weights: Mapping[str, Tensor]) -> LazyWeights:
        """Tensors that are in memory, copied when they are asked for."""
        if isinstance(weights, LazyWeights):
            return weights
        readers = {name: tensor.clone for name, tensor in weights.items()}
        return cls(Path(), readers, shapes_of(weights))

    def __getitem__(self, name: str) -> Tensor:
        """Raises CheckpointError where the file is broken."""
        read = self._readers[name]
        try:
            return read()
        except (SafetensorError, OSError) as error:
            raise broken(self._path, error) from error

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)

    def chosen(self, names: Mapping[str, str]) -> LazyWeights:
        """Some of the tensors, under other names: those here -> those there."""
        readers = {put: partial(self.__getitem__, name) for name, put in names.items()}
        return LazyWeights(
            self._path, readers, {put: self.shapes[name] for name, put in names.items()}
        )

    def within(self, prefix: str) -> LazyWeights:
        """The tensors whose names begin so, without that beginning."""
        return self.chosen({name: name[len(prefix) :] for name in self if name.startswith(prefix)})

    def converted(self, convert: Convert) -> LazyWeights:
        """The tensors as a conversion gives them, which is done one layer at a time.

        Args:
            convert: what it makes of a layer's tensors depends on no tensor of another layer.
        """
        empty = {name: torch.empty(shape, device="meta") for name, shape in self.shapes.items()}
        whole = convert(dict(empty))
        names = {id(tensor): name for name, tensor in empty.items()}
        moved = {put: names[id(held)] for put, held in whole.items() if id(held) in names}
        layers: dict[str, list[str]] = {}
        for name in sorted(empty.keys() - moved.values()):
            layers.setdefault(name.rpartition(".")[0], [])
        for name in empty:
            if name.rpartition(".")[0] in layers:
                layers[name.rpartition(".")[0]].append(name)

        @lru_cache(maxsize=1)  # a fused layer's pieces are asked for one after the other
        def read(layer: str) -> dict[str, Tensor]:
            return convert({name: self[name] for name in layers[layer]})

        readers: dict[str, Callable[[], Tensor]] = {}
        for layer, own in layers.items():
            for put in convert({name: empty[name] for name in own}):
                readers[put] = partial(lambda layer, put: read(layer)[put], layer, put)
        readers |= {put: partial(self.__getitem__, name) for put, name in moved.items()}
        assert readers.keys() >= whole.keys(), "a layer's tensors depend on no other layer's"
        shapes = {put: tuple(held.shape) for put, held in whole.items()}
        return LazyWeights(
            self._path, {put: read for put, read in readers.items() if put in whole}, shapes
        )


def shapes_of(weights: Mapping[str, Tensor]) -> Mapping[str, Shape]:
    """Shapes by name, of tensors in memory or in a file."""
    if isinstance(weights, LazyWeights):
        return weights.shapes
    return {name: tuple(tensor.shape) for name, tensor in weights.items()}


def read_stored(path: Path, offset: int, dtype: torch.dtype, shape: Shape) -> Tensor:
    """A tensor whose numbers lie in a file, in memory of its own.

    A mapped file would count as memory of the process, and be refused where it is larger than the
    machine's; and sums over mapped numbers round by their place in the file.

    Raises:
        OSError: the file ends before.
    """
    tensor = torch.empty(shape, dtype=dtype)
    if not prod(shape):
        return tensor
    with path.open("rb") as file:
        file.seek(offset)
        held: Any = tensor.view(-1).view(torch.uint8).numpy()
        if file.readinto(held) != held.nbytes:
            raise OSError(f"{path.name} ends before its last tensor")
    return tensor


def broken(path: Path, error: Exception) -> CheckpointError:
    """The error of a file that cannot be read."""
    return CheckpointError(f"{path}: is broken or cut off ({reason(error)}); get the file again")
