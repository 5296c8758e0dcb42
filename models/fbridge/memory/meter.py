"""Memory and arithmetic of a computation, found without doing it: shapes alone, on torch's "meta".

Attention is taken as fused, as every accelerator computes it: its table of weights is never whole
in memory.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry


@dataclass(frozen=True)
class Footprint:
    """What a computation needs besides what it is given.

    Attributes:
        peak: bytes of its intermediate tensors at their most.
        flops: multiplications and additions of its matrix products and convolutions.
    """

    peak: int
    flops: int


def measure_memory(compute: Callable[[], object]) -> Footprint:
    """The footprint of a computation on meta tensors.

    Args:
        compute: called once; what it returns is kept until the end, as a caller would.
    """
    meter = _Meter()
    attention = _Attention()
    with patch.object(F, "scaled_dot_product_attention", attention), meter:
        kept = compute()
    del kept
    return Footprint(meter.peak, meter.flops + attention.flops)


class _Meter(TorchDispatchMode):
    """Counts the bytes of all storages that operations make, until they are let go of; and flops.

    FlopCounterMode's own hooks would keep what checkpointing drops.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self.flops = 0
        self._live = 0
        self._seen: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        given = {
            id(leaf.untyped_storage())
            for leaf in tree_leaves((args, kwargs))
            if isinstance(leaf, Tensor)
        }
        made = func(*args, **(kwargs or {}))
        if func._overloadpacket in flop_registry:
            counted = flop_registry[func._overloadpacket]
            self.flops += counted(*args, **(kwargs or {}), out_val=made)
        for leaf in tree_leaves(made):
            if isinstance(leaf, Tensor):
                storage = leaf.untyped_storage()
                if id(storage) not in given and storage not in self._seen:
                    self._seen.add(storage)
                    self._live += storage.nbytes()
                    weakref.finalize(storage, self._let_go, storage.nbytes())
        self.peak = max(self.peak, self._live)
        return made

    def _let_go(self, size: int) -> None:
        self._live -= size


class _Attention:
    """In the place of torch's: keeps as much as a fused kernel, and counts what that would do."""

    def __init__(self) -> None:
        self.flops = 0

    def __call__(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *_: object,
        **__: object,
    ) -> Tensor:
        work = 2 * query.shape[:-1].numel() * key.shape[-2] * (query.shape[-1] + value.shape[-1])
        self._count(work)
        if query.shape == key.shape == value.shape:  # products keep all of their factors
            out = query * key * value
        else:
            out = query * key.mean(-2, keepdim=True) + value.mean(-2, keepdim=True)
        if out.requires_grad:  # five products where the way there had two
            out.register_hook(lambda _: self._count(work * 5 // 2))
        return out

    def _count(self, work: int) -> None:
        self.flops += work
