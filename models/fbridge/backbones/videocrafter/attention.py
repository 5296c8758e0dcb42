"""Attention within frames, along time, and to prompt and picture.

Between layers, videos are (N, C, H, W) with N = B F.
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
"""Groups of every GroupNorm; widths are multiples of it."""


class Context(NamedTuple):
    """The inputs that all layers share.

    Attributes:
        embedded: (N, D) embedding of the step and of the frame rate.
        prompts: (N, L, D') prompt embeddings, zero at the padding.
        mask: (N, 1, 1, L) bool, True where a token is real; None where all are.
        image: (N, Q, D') image tokens of each frame; None of a network without.
        videos: B, of the N = B F frames.
    """

    embedded: Tensor
    prompts: Tensor
    mask: Tensor | None
    image: Tensor | None
    videos: int


class Attention(nn.Module):
    """Attention of (N, S, D) to itself, or to the prompt and the picture.

    Args:
        width: D.
        heads, head: number of heads, and features of each.
        others: features of the prompt's tokens; None is self-attention.
        reach: largest distance of frames with an embedding of its own; 0 is no such embeddings.
        image: whether it attends to the image tokens too.
        gated: whether their contribution has a learnt weight.
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
        self.relative = bool(reach)
        if image:
            self.to_k_ip = nn.Linear(source, inner, bias=False)
            self.to_v_ip = nn.Linear(source, inner, bias=False)
        self.alpha = nn.Parameter(torch.zeros(())) if gated else None

    def forward(self, x: Tensor, context: Context | None = None) -> Tensor:
        """(N, S, D) to the same; self-attention without a context."""
        source = x if context is None else context.prompts
        query, key, value = map(self._split, (self.to_q(x), self.to_k(source), self.to_v(source)))
        if self.relative:
            mixed = self._with_distances(query, key, value)
        else:
            mask = None if context is None else context.mask
            mixed = F.scaled_dot_product_attention(query, key, value, mask)
        if context is not None and context.image is not None:
            key, value = self.to_k_ip(context.image), self.to_v_ip(context.image)
            read = F.scaled_dot_product_attention(query, self._split(key), self._split(value))
            mixed = mixed + (read if self.alpha is None else read * (self.alpha.tanh() + 1))
        return self.to_out(mixed.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def _with_distances(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attention with relative position embeddings of keys and values (arXiv 1803.02155)."""
        frames = query.shape[2]
        keys, values = self.relative_position_k(frames), self.relative_position_v(frames)
        scores = query @ key.mT + torch.einsum("nhid,ijd->nhij", query, keys)
        weights = (scores / math.sqrt(query.shape[-1])).softmax(-1)
        return weights @ value + torch.einsum("nhij,ijd->nhid", weights, values)


class RelativePosition(nn.Module):
    """Embeddings (F, F, D) of the distances of frames, clamped to a reach."""

    def __init__(self, features: int, reach: int) -> None:
        super().__init__()
        self.reach = reach
        self.embeddings_table = nn.Parameter(torch.randn(2 * reach + 1, features) * 0.02)

    def forward(self, frames: int) -> Tensor:
        """Row i, column j: of the distance j - i."""
        place = torch.arange(frames, device=self.embeddings_table.device)
        distance = (place[None] - place[:, None]).clamp(-self.reach, self.reach)
        return self.embeddings_table[distance + self.reach]


class TransformerBlock(nn.Module):
    """Two attentions and an MLP, each with a residual connection."""

    def __init__(self, width: int, first: Attention, second: Attention) -> None:
        super().__init__()
        self.attn1 = first
        self.ff = FeedForward(width, activation_fn="geglu")
        self.attn2 = second
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.norm3 = nn.LayerNorm(width)

    def forward(self, x: Tensor, context: Context | None = None) -> Tensor:
        """(N, S, D) to the same; the second attention is to the context, if there is one."""
        x = self.attn1(self.norm1(x)) + x
        x = self.attn2(self.norm2(x), context) + x
        return self.ff(self.norm3(x)) + x


@dataclass(frozen=True)
class TransformerOptions:
    """What the transformers of a network have in common.

    Attributes:
        head: features of a head.
        depth: blocks of a transformer.
        context_dim: features of prompt and image tokens.
        linear: whether their projections are linear layers, not convolutions of one pixel.
        reach: see `Attention`, of attention along time.
        image, gated: see `Attention`, of attention within frames.
    """

    head: int
    depth: int
    context_dim: int
    linear: bool
    reach: int
    image: bool
    gated: bool


class SpatialTransformer(nn.Module):
    """Attention within frames, and to prompt and picture."""

    def __init__(self, channels: int, options: TransformerOptions) -> None:
        super().__init__()
        count, size = channels // options.head, options.head
        inner = count * size
        self.norm = nn.GroupNorm(GROUPS, channels, eps=1e-6)
        self.proj_in = _projection(channels, inner, nn.Conv2d, linear=options.linear)
        self.transformer_blocks = nn.ModuleList(
            TransformerBlock(
                inner,
                Attention(inner, count, size),
                Attention(
                    inner,
                    count,
                    size,
                    others=options.context_dim,
                    image=options.image,
                    gated=options.gated,
                ),
            )
            for _ in range(options.depth)
        )
        self.proj_out = _projection(inner, channels, nn.Conv2d, linear=options.linear)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """(N, C, H, W) to the same."""
        height, width = x.shape[2:]
        hidden = _project(self.proj_in, self.norm(x).flatten(2).mT)
        for block in self.transformer_blocks:
            hidden = block(hidden, context)
        return x + _project(self.proj_out, hidden).mT.unflatten(2, (height, width))


class TemporalTransformer(nn.Module):
    """Attention along time, of each pixel."""

    def __init__(
        self,
        channels: int,
        options: TransformerOptions,
        *,
        count: int | None = None,
        linear: bool | None = None,
    ) -> None:
        super().__init__()
        count, size = count or channels // options.head, options.head
        inner, linear = count * size, options.linear if linear is None else linear
        self.norm = nn.GroupNorm(GROUPS, channels, eps=1e-6)
        self.proj_in = _projection(channels, inner, nn.Conv1d, linear=linear)
        self.transformer_blocks = nn.ModuleList(
            TransformerBlock(
                inner,
                Attention(inner, count, size, reach=options.reach),
                Attention(inner, count, size, reach=options.reach),
            )
            for _ in range(options.depth)
        )
        self.proj_out = _projection(inner, channels, nn.Conv1d, linear=linear)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """(N, C, H, W) to the same."""
        height, width = x.shape[2:]
        clips = x.unflatten(0, (context.videos, -1)).transpose(1, 2)  # (B, C, F, H, W)
        hidden = self.norm(clips).flatten(3).permute(0, 3, 2, 1).flatten(0, 1)  # (B H W, F, C)
        hidden = _project(self.proj_in, hidden)
        for block in self.transformer_blocks:
            hidden = block(hidden)
        hidden = _project(self.proj_out, hidden).unflatten(0, (context.videos, height, width))
        return x + hidden.permute(0, 3, 4, 1, 2).flatten(0, 1)


def _projection(
    inputs: int, outputs: int, kind: type[nn.Conv1d | nn.Conv2d], *, linear: bool
) -> nn.Module:
    return nn.Linear(inputs, outputs) if linear else kind(inputs, outputs, 1)


def _project(layer: nn.Module, x: Tensor) -> Tensor:
    """(N, S, C) through a linear layer or an equivalent convolution of one pixel."""
    if isinstance(layer, nn.Linear):
        return layer(x)
    two = isinstance(layer, nn.Conv2d)
    return layer(x.mT[..., None]).squeeze(-1).mT if two else layer(x.mT).mT
