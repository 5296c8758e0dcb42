"""Segmentation of a picture into the objects that the prompt names."""

from __future__ import annotations

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torch.nn import functional as F

OBJECT_SLOTS = 2
_DEPTH = 2
"""Residual blocks of a level."""


def masks_of(logits: Tensor) -> Tensor:
    """(B, 2, H, W) soft masks of the two objects; with the background they sum to one."""
    return logits.softmax(1)[:, :OBJECT_SLOTS]


class _Residual(nn.Module):
    """Two convolutions, modulated by the prompt (FiLM)."""

    def __init__(self, width_in: int, width: int, text_width: int) -> None:
        super().__init__()
        self.norm_in = nn.GroupNorm(8, width_in)
        self.conv_in = nn.Conv2d(width_in, width, 3, padding=1)
        self.norm_out = nn.GroupNorm(8, width)
        self.conv_out = nn.Conv2d(width, width, 3, padding=1)
        self.film = nn.Linear(text_width, 2 * width)
        self.skip = nn.Conv2d(width_in, width, 1) if width_in != width else nn.Identity()
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        hidden = self.conv_in(F.silu(self.norm_in(x)))
        scale, shift = self.film(text)[:, :, None, None].chunk(2, 1)
        hidden = F.silu(self.norm_out(hidden) * (1 + scale) + shift)
        skip: Tensor = self.skip(x)
        return skip + self.conv_out(hidden)


class _Attention(nn.Module):
    """Attention of pixels to each other and to the prompt."""

    def __init__(self, width: int, text_width: int) -> None:
        super().__init__()
        self.heads = 4
        self.norm = nn.GroupNorm(8, width)
        self.query = nn.Linear(width, width)
        self.keys = nn.Linear(width, 2 * width)
        self.words = nn.Linear(text_width, 2 * width)
        self.out = nn.Linear(width, width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, text: Tensor, prompt_mask: Tensor) -> Tensor:
        b, c, h, w = x.shape
        places = self.norm(x).flatten(2).mT
        pairs = torch.cat([self.keys(places), self.words(text)], 1)
        key, value = pairs.unflatten(-1, (2 * self.heads, -1)).transpose(1, 2).chunk(2, 1)
        query = self.query(places).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        mask = torch.cat([prompt_mask.new_ones(b, h * w), prompt_mask], 1)[:, None, None]
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return x + self.out(mixed.transpose(1, 2).flatten(2)).mT.reshape(b, c, h, w)


class LayerNet(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """A small U-Net that segments the objects that the prompt names.

    Its input are blocks of 2 x 2 pixels: the first level has half the picture's resolution. Height
    and width must be multiples of 16.
    """

    @register_to_config
    def __init__(self, widths: tuple[int, ...] = (32, 64, 128, 192), text_width: int = 384) -> None:
        super().__init__()
        self.pooled_text = nn.Sequential(nn.Linear(text_width, text_width), nn.SiLU())
        self.stem = nn.Conv2d(3 * 4, widths[0], 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        attends = [level >= len(widths) - 2 for level in range(len(widths))]
        for level, width in enumerate(widths):
            before = widths[max(level - 1, 0)]
            blocks = [
                _Residual(before if i == 0 else width, width, text_width) for i in range(_DEPTH)
            ]
            last = [_Attention(width, text_width)] if attends[level] else []
            self.down.append(nn.ModuleList([*blocks, *last]))
        for level in range(len(widths) - 2, -1, -1):
            width = widths[level]
            first = _Residual(widths[level + 1] + width, width, text_width)
            rest = [_Residual(width, width, text_width) for _ in range(_DEPTH - 1)]
            last = [_Attention(width, text_width)] if attends[level] else []
            self.up.append(nn.ModuleList([first, *rest, *last]))
        self.head = nn.Sequential(
            nn.GroupNorm(8, widths[0]),
            nn.SiLU(),
            nn.Conv2d(widths[0], (OBJECT_SLOTS + 1) * 4, 3, padding=1),
        )

    def forward(self, picture: Tensor, text: Tensor, prompt_mask: Tensor) -> Tensor:
        """Logits (B, 3, H, W) of the first object named, the second, and the background.

        Pictures are (B, 3, H, W) in [0, 1], prompt embeddings (B, L, D).
        """
        weight = prompt_mask[..., None].to(text.dtype)
        pooled = self.pooled_text((text * weight).sum(1) / weight.sum(1).clamp_min(1))
        x = self.stem(F.pixel_unshuffle(picture * 2 - 1, 2))
        kept: list[Tensor] = []
        for level, blocks in enumerate(self.down):
            if level:
                kept.append(x)
                x = F.avg_pool2d(x, 2)
            x = self._run(blocks, x, pooled, text, prompt_mask)
        for blocks in self.up:
            x = torch.cat([F.interpolate(x, scale_factor=2.0), kept.pop()], 1)
            x = self._run(blocks, x, pooled, text, prompt_mask)
        return F.pixel_shuffle(self.head(x), 2).float()

    @staticmethod
    def _run(
        blocks: nn.Module, x: Tensor, pooled: Tensor, text: Tensor, prompt_mask: Tensor
    ) -> Tensor:
        for block in blocks.children():
            x = block(x, text, prompt_mask) if isinstance(block, _Attention) else block(x, pooled)
        return x
