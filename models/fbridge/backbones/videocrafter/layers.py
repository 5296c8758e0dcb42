"""Convolutions within frames and along time, and their sequences."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from fbridge.backbones.videocrafter.attention import (
    GROUPS,
    Context,
    SpatialTransformer,
    TemporalTransformer,
)


class TemporalConvBlock(nn.Module):
    """Four convolutions along time with a residual connection."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        for n in range(1, 5):
            rest = () if n == 1 else (nn.Dropout(0.1),)
            convolution = nn.Conv3d(channels, channels, (3, 1, 1), padding=(1, 0, 0))
            layers = (nn.GroupNorm(GROUPS, channels), nn.SiLU(), *rest, convolution)
            self.add_module(f"conv{n}", nn.Sequential(*layers))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, F, H, W) to the same."""
        out = x
        for layers in self.children():
            out = layers(out)
        return x + out


class ResBlock(nn.Module):
    """Two convolutions within frames, conditioned on step and rate; if `timed`, then along time."""

    def __init__(self, inputs: int, outputs: int, embedding: int, *, timed: bool) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(
            nn.GroupNorm(GROUPS, inputs), nn.SiLU(), nn.Conv2d(inputs, outputs, 3, padding=1)
        )
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embedding, outputs))
        self.out_layers = nn.Sequential(
            nn.GroupNorm(GROUPS, outputs),
            nn.SiLU(),
            nn.Identity(),  # dropout in the original
            nn.Conv2d(outputs, outputs, 3, padding=1),
        )
        self.skip_connection = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)
        self.temopral_conv = (
            TemporalConvBlock(outputs) if timed else None
        )  # spelt as in the original

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H, W)."""
        hidden = self.in_layers(x) + self.emb_layers(context.embedded)[..., None, None]
        out: Tensor = self.skip_connection(x) + self.out_layers(hidden)
        if self.temopral_conv is None:
            return out
        clips = out.unflatten(0, (context.videos, -1)).transpose(1, 2)
        return self.temopral_conv(clips).transpose(1, 2).flatten(0, 1)


class Downsample(nn.Module):
    """Halves the sides."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H / 2, W / 2)."""
        return self.op(x)


class Upsample(nn.Module):
    """Doubles the sides."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, 2 H, 2 W)."""
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Stage(nn.ModuleList):
    """Layers one after the other, with the context for those that take it."""

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """(N, C, H, W) to the output of the last layer."""
        for layer in self:
            takes = isinstance(layer, ResBlock | SpatialTransformer | TemporalTransformer)
            x = layer(x, context) if takes else layer(x)
        return x
