"""Memory and floating-point operations of a computation, measured on torch's "meta" device.

Attention is assumed to be fused: its matrix of weights is never in memory as a whole.
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
    """What a computation needs besides its inputs.

    Attributes:
        peak: largest number of bytes of intermediate tensors.
        flops: of matrix products and convolutions.
    """

    peak: int
    flops: int


def measure_memory(compute: Callable[[], object]) -> Footprint:
    """The footprint of a computation on meta tensors.

    Args:
        compute: called once; its result is kept until the end, as a caller would.
    """
    meter = _Meter()
    attention = _Attention()
    with patch.object(F, "scaled_dot_product_attention", attention), meter:
        kept = compute()
    del kept
    return Footprint(meter.peak, meter.flops + attention.flops)


class _Meter(TorchDispatchMode):
    """Counts the bytes of live storages that operations allocate, and flops.

    torch's FlopCounterMode cannot be used: its hooks keep what checkpointing frees.
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
                    weakref.finalize(storage, self._freed, storage.nbytes())
        self.peak = max(self.peak, self._live)
        return made

    def _freed(self, size: int) -> None:
        self._live -= size


class _Attention:
    """Replaces torch's attention: same memory as a fused kernel, and counts its flops."""

    def __init__(self) -> None:
        self.flops = 0

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, *_: object, **__: object
    ) -> Tensor:
        work = 2 * query.shape[:-1].numel() * key.shape[-2] * (query.shape[-1] + value.shape[-1])
        self._count(work)
        if query.shape == key.shape == value.shape:  # autograd keeps all factors of a product
            out = query * key * value
        else:
            out = query * key.mean(-2, keepdim=True) + value.mean(-2, keepdim=True)
        if out.requires_grad:  # backward has five matrix products, forward two
            out.register_hook(lambda _: self._count(work * 5 // 2))
        return out

    def _count(self, work: int) -> None:
        self.flops += work
