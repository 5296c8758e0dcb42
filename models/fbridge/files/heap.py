"""Memory that this process has freed."""

from __future__ import annotations

import ctypes
import sys


def trim_heap() -> None:
    """Give freed memory back to the system.

    glibc keeps what lies between blocks in use: where large tensors are replaced by small ones, as
    much again as the small ones take. Other allocators are left to themselves.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
