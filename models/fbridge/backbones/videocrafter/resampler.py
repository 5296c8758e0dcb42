"""A picture's tokens for each frame, from what CLIP sees of it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Resampler(nn.Module):
    """A picture's tokens for each frame, from what CLIP sees of it: DynamiCrafter's resampler.

    Args:
        features: of the picture's own tokens.
        width: of the queries.
        outputs: of what is answered.
        count: queries, of all frames together.
        depth, heads, head: of the attention.
    """

    def __init__(
        self,
        features: int,
        width: int,
        outputs: int,
        *,
        count: int,
        depth: int,
        heads: int,
        head: int,
    ) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.randn(1, count, width) / width**0.5)
        self.proj_in = nn.Linear(features, width)
        self.proj_out = nn.Linear(width, outputs)
        self.norm_out = nn.LayerNorm(outputs)
        self.layers = nn.ModuleList(
            nn.ModuleList([PerceiverAttention(width, heads, head), _widening(width)])
            for _ in range(depth)
        )

    def forward(self, picture: Tensor) -> Tensor:
        """(B, L, features) to (B, count, outputs)."""
        picture = self.proj_in(picture)
        looks = self.latents.expand(len(picture), -1, -1)
        for attention, perceptron in map(nn.Module.children, self.layers):
            looks = attention(picture, looks) + looks
            looks = perceptron(looks) + looks
        return self.norm_out(self.proj_out(looks))


class PerceiverAttention(nn.Module):
    """Queries attend to the picture and to each other."""

    def __init__(self, width: int, heads: int, head: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.to_q = nn.Linear(width, heads * head, bias=False)
        self.to_kv = nn.Linear(width, 2 * heads * head, bias=False)
        self.to_out = nn.Linear(heads * head, width, bias=False)

    def forward(self, picture: Tensor, looks: Tensor) -> Tensor:
        """(B, L, width) and (B, count, width) to the latter."""
        looks = self.norm2(looks)
        source = torch.cat([self.norm1(picture), looks], 1)
        sides = (self.to_q(looks), *self.to_kv(source).chunk(2, -1))
        query, key, value = (side.unflatten(-1, (self.heads, -1)).transpose(1, 2) for side in sides)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.to_out(mixed.transpose(1, 2).flatten(2))


def _widening(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(width),
        nn.Linear(width, 4 * width, bias=False),
        nn.GELU(),
        nn.Linear(4 * width, width, bias=False),
    )
