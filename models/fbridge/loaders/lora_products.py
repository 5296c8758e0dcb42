"""Differences of weights as files store them: whole, or as products of small matrices.

LoRA: `up @ down`. LoHa (arXiv 2108.06098) is the product of two such, number by number; LoKr (arXiv
2309.14859) the Kronecker product of two matrices, each whole or of low rank. Nothing is multiplied
until `value` is called, so that one difference at a time is in memory.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

Shape = tuple[int, ...]


class Product(NamedTuple):
    """A difference.

    Attributes:
        down: (rank, inputs, ...), or the whole difference where there is no `up`.
        up: (outputs, rank, ...).
    """

    down: Tensor
    up: Tensor | None = None

    @property
    def rank(self) -> int | None:
        """None of a whole difference."""
        return None if self.up is None else len(self.down)

    @property
    def fits(self) -> bool:
        """Whether its matrices are of one rank."""
        if self.up is None:
            return self.down.ndim > 0
        one = self.down.ndim > 1 and self.up.ndim > 1 and self.up.shape[1] == len(self.down)
        return one and prod(self.up.shape[2:]) == 1

    @property
    def shape(self) -> Shape:
        """Of the difference."""
        if self.up is None:
            return tuple(self.down.shape)
        return (len(self.up), *self.down.shape[1:])

    def value(self) -> Tensor:
        """The difference in float32."""
        if self.up is None:
            return self.down.float()
        product = self.up.float().flatten(1) @ self.down.float().flatten(1)
        return product.unflatten(1, self.down.shape[1:])


class Hadamard(NamedTuple):
    """Two differences, multiplied number by number (LoHa)."""

    first: Product
    second: Product

    @property
    def rank(self) -> int | None:
        """Of each of the two."""
        return self.first.rank

    @property
    def fits(self) -> bool:
        """Whether the two are of one shape."""
        return self.first.fits and self.second.fits and self.first.shape == self.second.shape

    @property
    def shape(self) -> Shape:
        """Of the difference."""
        return self.first.shape

    def value(self) -> Tensor:
        """The difference in float32."""
        return self.first.value() * self.second.value()


class Kronecker(NamedTuple):
    """A matrix of blocks: every number of the first times the second (LoKr).

    The second may be of a kernel, and have more axes than the first.
    """

    first: Product
    second: Product

    @property
    def rank(self) -> int | None:
        """That of the second counts, where both have one; None where both are whole."""
        return self.first.rank if self.second.rank is None else self.second.rank

    @property
    def fits(self) -> bool:
        """Whether there is a product of the two."""
        axes = len(self.first.shape), len(self.second.shape)
        return self.first.fits and self.second.fits and axes[0] == 2 and axes[1] >= 2

    @property
    def shape(self) -> Shape:
        """Of the difference."""
        (rows, columns), second = self.first.shape, self.second.shape
        return (rows * second[0], columns * second[1], *second[2:])

    def value(self) -> Tensor:
        """The difference in float32."""
        second = self.second.value()
        first = self.first.value()
        return torch.kron(first.reshape(*first.shape, *[1] * (second.ndim - 2)), second)
