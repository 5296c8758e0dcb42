"""Attention within frames, along time, and on words and picture.

Between layers frames are (N, C, H, W) with N = B F; `Told` tells how many videos they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from diffusers.models.attention import FeedForward
from torch import Tensor, nn
from torch.nn import functional as F

GROUPS = 32
"""Of every normalisation; widths are multiples of it."""


class Told(NamedTuple):
    """What every layer is told.

    Attributes:
        clip: (N, D) embedding of the step and of the clip's speed.
        words: (N, L, D') token embeddings, zero where there is none.
        real: (N, 1, 1, L) bool, which of them are read; None where all are.
        image: (N, Q, D') tokens of the picture for each frame; None where there are none.
        videos: B, of the N = B F frames.
    """

    clip: Tensor
    words: Tensor
    real: Tensor | None
    image: Tensor | None
    videos: int


class Attention(nn.Module):
    """Of (N, S, D) on itself or on other tokens; may know how far frames are apart, and a picture.

    Args:
        width: D.
        heads, head: how many, and their features.
        others: features of the other tokens; None is attention on itself.
        reach: largest distance of frames that has an embedding of its own; 0 knows none.
        image: whether the picture's tokens are read too.
        gated: whether they have a weight that is learnt.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        head: int,
        *,
        others: int | None = None,
        reach: int = 0,
        image: bool = False,
        gated: bool = False,
    ) -> None:
        super().__init__()
        inner, source = heads * head, width if others is None else others
        self.heads = heads
        self.to_q = nn.Linear(width, inner, bias=False)
        self.to_k = nn.Linear(source, inner, bias=False)
        self.to_v = nn.Linear(source, inner, bias=False)
        self.to_out = nn.Sequential(nn.Linear(inner, width))
        if reach:
            self.relative_position_k = RelativePosition(head, reach)
            self.relative_position_v = RelativePosition(head, reach)
        self.far = bool(reach)
        if image:
            self.to_k_ip = nn.Linear(source, inner, bias=False)
            self.to_v_ip = nn.Linear(source, inner, bias=False)
        self.alpha = nn.Parameter(torch.zeros(())) if gated else None

    def forward(self, x: Tensor, told: Told | None = None) -> Tensor:
        """On itself, or on the words and the picture that it is told."""
        source = x if told is None else told.words
        query, key, value = map(self._split, (self.to_q(x), self.to_k(source), self.to_v(source)))
        if self.far:
            mixed = self._over_distances(query, key, value)
        else:
            mask = None if told is None else told.real
            mixed = F.scaled_dot_product_attention(query, key, value, mask)
        if told is not None and told.image is not None:
            key, value = map(self._split, (self.to_k_ip(told.image), self.to_v_ip(told.image)))
            seen = F.scaled_dot_product_attention(query, key, value)
            mixed = mixed + (seen if self.alpha is None else seen * (self.alpha.tanh() + 1))
        return self.to_out(mixed.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def _over_distances(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Keys and values shifted by how far the frames are apart (arXiv 1803.02155)."""
        frames = query.shape[2]
        keys, values = self.relative_position_k(frames), self.relative_position_v(frames)
        fits = query @ key.mT + torch.einsum("nhid,ijd->nhij", query, keys)
        share = (fits / math.sqrt(query.shape[-1])).softmax(-1)
        return share @ value + torch.einsum("nhij,ijd->nhid", share, values)


class RelativePosition(nn.Module):
    """An embedding (F, F, D) of how far a frame is behind another, up to a reach."""

    def __init__(self, features: int, reach: int) -> None:
        super().__init__()
        self.reach = reach
        self.embeddings_table = nn.Parameter(torch.randn(2 * reach + 1, features) * 0.02)

    def forward(self, frames: int) -> Tensor:
        """Row i, column j: of frame j seen from frame i."""
        at = torch.arange(frames, device=self.embeddings_table.device)
        apart = (at[None] - at[:, None]).clamp(-self.reach, self.reach)
        return self.embeddings_table[apart + self.reach]


class TransformerBlock(nn.Module):
    """Two attentions and a perceptron, each added to what it reads."""

    def __init__(self, width: int, first: Attention, second: Attention) -> None:
        super().__init__()
        self.attn1 = first
        self.ff = FeedForward(width, activation_fn="geglu")
        self.attn2 = second
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.norm3 = nn.LayerNorm(width)

    def forward(self, x: Tensor, told: Told | None = None) -> Tensor:
        """(N, S, D); the second attention is on what is told, if anything is."""
        x = self.attn1(self.norm1(x)) + x
        x = self.attn2(self.norm2(x), told) + x
        return self.ff(self.norm3(x)) + x


@dataclass(frozen=True)
class Attending:
    """How the transformers of a network attend.

    Attributes:
        head: features of a head.
        depth: blocks of a transformer.
        words: features of the tokens that are read.
        linear: whether their projections are linear layers, not convolutions of one pixel.
        reach: see `Attention`, of attention along time.
        image, gated: see `Attention`, of attention within frames.
    """

    head: int
    depth: int
    words: int
    linear: bool
    reach: int
    image: bool
    gated: bool


class SpatialTransformer(nn.Module):
    """Attention within frames, and on words and picture."""

    def __init__(self, channels: int, how: Attending) -> None:
        super().__init__()
        count, size = channels // how.head, how.head
        inner = count * size
        self.norm = nn.GroupNorm(GROUPS, channels, eps=1e-6)
        self.proj_in = _projection(channels, inner, nn.Conv2d, linear=how.linear)
        self.transformer_blocks = nn.ModuleList(
            TransformerBlock(
                inner,
                Attention(inner, count, size),
                Attention(inner, count, size, others=how.words, image=how.image, gated=how.gated),
            )
            for _ in range(how.depth)
        )
        self.proj_out = _projection(inner, channels, nn.Conv2d, linear=how.linear)

    def forward(self, x: Tensor, told: Told) -> Tensor:
        """(N, C, H, W) to the same."""
        height, width = x.shape[2:]
        hidden = _project(self.proj_in, self.norm(x).flatten(2).mT)
        for block in self.transformer_blocks:
            hidden = block(hidden, told)
        return x + _project(self.proj_out, hidden).mT.unflatten(2, (height, width))


class TemporalTransformer(nn.Module):
    """Attention along time, for each pixel alone."""

    def __init__(
        self, channels: int, how: Attending, *, count: int | None = None, linear: bool | None = None
    ) -> None:
        super().__init__()
        count, size = count or channels // how.head, how.head
        inner, linear = count * size, how.linear if linear is None else linear
        self.norm = nn.GroupNorm(GROUPS, channels, eps=1e-6)
        self.proj_in = _projection(channels, inner, nn.Conv1d, linear=linear)
        self.transformer_blocks = nn.ModuleList(
            TransformerBlock(
                inner,
                Attention(inner, count, size, reach=how.reach),
                Attention(inner, count, size, reach=how.reach),
            )
            for _ in range(how.depth)
        )
        self.proj_out = _projection(inner, channels, nn.Conv1d, linear=linear)

    def forward(self, x: Tensor, told: Told) -> Tensor:
        """(N, C, H, W) to the same."""
        height, width = x.shape[2:]
        clips = x.unflatten(0, (told.videos, -1)).transpose(1, 2)  # (B, C, F, H, W)
        hidden = self.norm(clips).flatten(3).permute(0, 3, 2, 1).flatten(0, 1)  # (B H W, F, C)
        hidden = _project(self.proj_in, hidden)
        for block in self.transformer_blocks:
            hidden = block(hidden)
        hidden = _project(self.proj_out, hidden).unflatten(0, (told.videos, height, width))
        return x + hidden.permute(0, 3, 4, 1, 2).flatten(0, 1)


def _projection(
    inputs: int, outputs: int, kind: type[nn.Conv1d | nn.Conv2d], *, linear: bool
) -> nn.Module:
    return nn.Linear(inputs, outputs) if linear else kind(inputs, outputs, 1)


def _project(layer: nn.Module, x: Tensor) -> Tensor:
    """(N, S, C) by a linear layer, or by a convolution of one pixel, which is one."""
    if isinstance(layer, nn.Linear):
        return layer(x)
    flat = isinstance(layer, nn.Conv2d)
    return layer(x.mT[..., None]).squeeze(-1).mT if flat else layer(x.mT).mT
