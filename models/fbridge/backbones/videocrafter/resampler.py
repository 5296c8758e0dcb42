"""DynamiCrafter's resampler: from CLIP's tokens of a picture to tokens for each frame."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Resampler(nn.Module):
    """Learnt queries that attend to CLIP's tokens of a picture.

    Args:
        features: of the picture's tokens.
        width: features of the queries.
        outputs: features of the output.
        count: number of queries, of all frames together.
        depth, heads, head: layers, heads of the attention, and features of a head.
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
            nn.ModuleList([PerceiverAttention(width, heads, head), _mlp(width)])
            for _ in range(depth)
        )

    def forward(self, picture: Tensor) -> Tensor:
        """(B, L, features) to (B, count, outputs)."""
        picture = self.proj_in(picture)
        queries = self.latents.expand(len(picture), -1, -1)
        for attention, perceptron in map(nn.Module.children, self.layers):
            queries = attention(picture, queries) + queries
            queries = perceptron(queries) + queries
        return self.norm_out(self.proj_out(queries))


class PerceiverAttention(nn.Module):
    """Attention of the queries to the picture and to each other."""

    def __init__(self, width: int, heads: int, head: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.to_q = nn.Linear(width, heads * head, bias=False)
        self.to_kv = nn.Linear(width, 2 * heads * head, bias=False)
        self.to_out = nn.Linear(heads * head, width, bias=False)

    def forward(self, picture: Tensor, queries: Tensor) -> Tensor:
        """(B, L, width) and (B, count, width) to the latter."""
        queries = self.norm2(queries)
        source = torch.cat([self.norm1(picture), queries], 1)
        sides = (self.to_q(queries), *self.to_kv(source).chunk(2, -1))
        query, key, value = (side.unflatten(-1, (self.heads, -1)).transpose(1, 2) for side in sides)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.to_out(mixed.transpose(1, 2).flatten(2))


def _mlp(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(width),
        nn.Linear(width, 4 * width, bias=False),
        nn.GELU(),
        nn.Linear(4 * width, width, bias=False),
    )
