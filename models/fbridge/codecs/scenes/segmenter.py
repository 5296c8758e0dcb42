"""Which pixels a noun means: a light decoder on features that know photographs.

It is given where the network sees the noun's classes, and never the verb. So one picture and noun
have one mask, whatever shall happen. Given the noun's embedding as well, it learnt the few nouns of
its cut-outs by heart and found less on photographs (`docs/experiments.md`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fbridge.codecs.scenes.features import WIDTHS, Features

SIDE = 288
"""Square root of the area of the pictures that the networks are given."""
STRIDE = 4
"""Of the masks, in pixels of these pictures."""
HINTS = 4


def working_size(height: int, width: int, side: int = SIDE) -> tuple[int, int]:
    """(height, width), multiples of 32, of about the aspect ratio and an area of about side^2."""
    aspect = (width / height) ** 0.5

    def snap(length: float) -> int:
        return min(max(32 * round(length / 32), side // 64 * 32), 2 * side // 32 * 32)

    return snap(side / aspect), snap(side * aspect)


def noun_hints(classes: Tensor, named: Tensor, focus: Tensor | None = None) -> Tensor:
    """(B, 4, h, w): where the network sees what a noun names.

    Channels: log-probability of the noun's classes at each place, and what it is above that of the
    whole picture; probability of the classes that the whole picture shows, whatever the noun; and
    whether the noun names any class.

    Args:
        classes: (B, 1000, h, w) logits.
        named: (B, 1000) bool, the noun's classes; all False of an unknown one.
        focus: (B, h, w) in (0, 1], how far what is seen at a place counts.
    """
    local = classes.log_softmax(1)
    whole = classes.mean((2, 3)).log_softmax(1)
    known = named.any(1)
    counted = (named | ~known[:, None]).log()  # of an unknown noun all: 0 everywhere
    inside = (local + counted[..., None, None]).logsumexp(1)
    above = inside - (whole + counted).logsumexp(1)[:, None, None]
    best, places = whole.exp().topk(5, 1)
    shown = local.exp().gather(1, places[..., None, None].expand(-1, -1, *local.shape[2:])).sum(1)
    shown = shown * best.sum(1)[:, None, None]
    if focus is not None:
        inside, above, shown = inside + focus.log(), above + focus.log(), shown * focus
    told = known.to(local)[:, None, None].expand_as(shown)
    return torch.stack([inside.clamp_min(-8) / 4, above.clamp(-4, 4) / 2, shown, told], 1)


class _Residual(nn.Module):
    """Two convolutions beside the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1)
        )
        self.norm = nn.GroupNorm(8, width)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.silu(self.norm(self.first(x))))


class _Attention(nn.Module):
    """Attention of all places to each other: what belongs together may lie far apart."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(8, width)
        self.inputs = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        parts = self.inputs(self.norm(x).flatten(2).mT).unflatten(-1, (3, self.heads, -1))
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return x + self.out(mixed.transpose(1, 2).flatten(2)).mT.reshape(b, c, h, w)


class MaskDecoder(nn.Module):
    """Features of four resolutions, coarse to fine, to the logits of a mask.

    Args:
        widths: channels at strides 32, 16, 8 and 4.
    """

    def __init__(self, widths: tuple[int, ...] = (128, 96, 48, 16)) -> None:
        super().__init__()
        self.enter, self.levels = nn.ModuleList(), nn.ModuleList()
        before = 0
        for level, width in enumerate(widths):
            hints = HINTS if level < 2 else 0
            self.enter.append(nn.Conv2d(WIDTHS[4 - level] + before + hints + 2, width, 1))
            blocks: list[nn.Module] = [_Residual(width)]
            if level < 2:  # finer levels are costly, and what belongs together is known by now
                blocks += [_Attention(width), _Residual(width)]
            self.levels.append(nn.ModuleList(blocks))
            before = width
        self.head = nn.Sequential(
            nn.GroupNorm(8, before), nn.SiLU(), nn.Conv2d(before, 1, 3, padding=1)
        )

    def forward(self, maps: tuple[Tensor, ...], hints: Tensor) -> Tensor:
        """Logits (B, 1, H / 4, W / 4) from `Features.maps` and the hints of `noun_hints`."""
        x = hints[:, :0]
        for level, (enter, blocks) in enumerate(zip(self.enter, self.levels, strict=True)):
            own = maps[4 - level]
            size = own.shape[-2:]
            parts = [own, _grid(own)]
            if level:
                parts.append(F.interpolate(x, size, mode="bilinear", align_corners=False))
            if level < 2:
                parts.append(F.interpolate(hints, size, mode="bilinear", align_corners=False))
            x = enter(torch.cat(parts, 1))
            for block in blocks.children():
                x = block(x)
        logits: Tensor = self.head(x)
        return logits.float()


def _grid(like: Tensor) -> Tensor:
    """(B, 2, h, w) places x and y from -1 to 1."""
    b, _, h, w = like.shape
    y = torch.linspace(-1, 1, h, device=like.device, dtype=like.dtype)[:, None].expand(h, w)
    x = torch.linspace(-1, 1, w, device=like.device, dtype=like.dtype)[None].expand(h, w)
    return torch.stack([x, y]).expand(b, 2, h, w)


def find_mask(
    decoder: MaskDecoder, features: Features, named: Tensor, focus: Tensor | None = None
) -> Tensor:
    """Masks (B, h, w) in [0, 1] of the classes (B, 1000) that nouns name; see `noun_hints`."""
    hints = noun_hints(features.classes, named, focus)
    dtype = next(decoder.parameters()).dtype  # the features stay in float32
    maps = tuple(part.to(dtype) for part in features.maps)
    return decoder(maps, hints.to(dtype))[:, 0].sigmoid()
