"""Which device a name means on this machine."""

from __future__ import annotations

from collections.abc import Callable

import torch

from fbridge.errors import DependencyError


def present_device(device: str, local: int | None = None) -> str:
    """The device that a name of `fbridge.choices.DEVICES` means here; never "auto".

    Args:
        device: such as "auto", "cuda" or "cuda:1".
        local: number of this process among those of this machine, each of which takes another GPU.

    Raises:
        DependencyError: this machine has no such device.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and local is not None and torch.cuda.is_available():
        return f"cuda:{local % torch.cuda.device_count()}"
    kind, _, number = device.partition(":")
    count: dict[str, Callable[[], int]] = {
        "cpu": lambda: 1,
        "cuda": torch.cuda.device_count,
        "mps": lambda: int(torch.backends.mps.is_available()),
        "xpu": lambda: torch.xpu.device_count() if hasattr(torch, "xpu") else 0,
    }
    present = count[kind]()
    if not present:
        raise DependencyError(f"--device {device}: this machine has none; use --device cpu")
    if number and int(number) >= present:
        raise DependencyError(
            f"--device {device}: this machine has {kind}:0 to {kind}:{present - 1}; use one of them"
        )
    return device
