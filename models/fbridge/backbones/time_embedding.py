"""Times as networks after "Attention is all you need" (arXiv 1706.03762) are told them."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def waves(numbers: Tensor, width: int) -> Tensor:
    """Numbers (B,) as cosines and sines (B, width) float32, wavelengths from 2 pi up to 2e4 pi."""
    half = width // 2
    rates = torch.exp(-math.log(1e4) * torch.arange(half, device=numbers.device) / half)
    phase = numbers[:, None].float() * rates
    return torch.cat([phase.cos(), phase.sin()], -1)
