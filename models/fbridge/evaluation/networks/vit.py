"""A Vision Transformer (Dosovitskiy et al. 2021) in the names of DINO's authors.

CLIP's image tower is the same network with a normalisation before the blocks and other constants;
DreamSim publishes it under these names too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import Self

from fbridge.evaluation.networks.load import MetricNetwork

_HEAD = 64  # channels of an attention head in all published sizes


class VisionTransformer(MetricNetwork):
    """Pictures (N, 3, H, W), standardised, to their class tokens (N, W) after the last norm.

    Args:
        width: channels.
        depth: blocks.
        patch: pixels a side of a patch.
        grid: patches a side of the learnt position embeddings.
        eps: of the layer norms.
        quick: GELU as x * sigmoid(1.702 x), as in OpenAI's CLIP.
        early: a normalisation before the blocks (`pos_drop`), as in CLIP.
    """

    title = "vision transformer"

    def __init__(
        self,
        width: int,
        depth: int,
        patch: int,
        grid: int,
        *,
        eps: float,
        quick: bool = False,
        early: bool = False,
    ) -> None:
        super().__init__()
        self.grid = grid
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + grid**2, width))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, patch, patch)})
        self.pos_drop = nn.LayerNorm(width, eps=eps) if early else nn.Identity()
        self.blocks = nn.ModuleList(_Block(width, eps=eps, quick=quick) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=eps)

    @classmethod
    def empty(cls, state: Mapping[str, Tensor], *, eps: float, quick: bool = False) -> Self:
        """Its size follows from the shapes of the weights."""
        width, _, patch, _ = state["patch_embed.proj.weight"].shape
        grid = math.isqrt(state["pos_embed"].shape[1] - 1)
        depth = len([name for name in state if name.endswith(".attn.qkv.weight")])
        early = "pos_drop.weight" in state
        return cls(width, depth, patch, grid, eps=eps, quick=quick, early=early)

    def forward(self, x: Tensor) -> Tensor:
        """(N, W)."""
        found: Tensor = self.norm(self.tokens(x)[:, 0])
        return found

    def tokens(self, x: Tensor) -> Tensor:
        """(N, 1 + patches, W), the class token first, as the last block gives them."""
        patches = self.patch_embed["proj"](x)
        own = self.cls_token.expand(len(x), -1, -1)
        tokens = torch.cat([own, patches.flatten(2).transpose(1, 2)], 1)
        tokens = self.pos_drop(tokens + self._positions(patches.shape[2], patches.shape[3]))
        for block in self.blocks:
            tokens = block(tokens)
        return tokens

    def _positions(self, rows: int, columns: int) -> Tensor:
        """Position embeddings of a grid, interpolated if it is not the learnt size."""
        if rows == columns == self.grid:
            return self.pos_embed
        own = self.pos_embed[:, 1:].unflatten(1, (self.grid, self.grid)).permute(0, 3, 1, 2)
        # The authors add 0.1 against rounding, and the factors, not the sizes, place the samples.
        factors = ((rows + 0.1) / self.grid, (columns + 0.1) / self.grid)
        grid = F.interpolate(own, scale_factor=factors, mode="bicubic")
        return torch.cat([self.pos_embed[:, :1], grid.flatten(2).transpose(1, 2)], 1)


class _Block(nn.Module):
    """Transformer block: self-attention, then an MLP."""

    def __init__(self, width: int, *, eps: float, quick: bool) -> None:
        super().__init__()
        self.quick = quick
        self.norm1 = nn.LayerNorm(width, eps=eps)
        self.attn = nn.ModuleDict(
            {"qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width)}
        )
        self.norm2 = nn.LayerNorm(width, eps=eps)
        self.mlp = nn.ModuleDict(
            {"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)}
        )

    def forward(self, x: Tensor) -> Tensor:
        split = self.attn["qkv"](self.norm1(x)).unflatten(2, (3, -1, _HEAD))
        query, key, value = split.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value)
        x = x + self.attn["proj"](mixed.transpose(1, 2).flatten(2))
        inner = self.mlp["fc1"](self.norm2(x))
        inner = inner * torch.sigmoid(1.702 * inner) if self.quick else F.gelu(inner)
        return x + self.mlp["fc2"](inner)
