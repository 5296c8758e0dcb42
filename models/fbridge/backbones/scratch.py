"""Networks from scratch: named sizes of the space-time transformer."""

from __future__ import annotations

import difflib
from typing import NamedTuple

from fbridge.backbones.space_time import SpaceTimeTransformer
from fbridge.errors import ConfigError


class Preset(NamedTuple):
    """The size of a network; `patch` is 1 instead where the latents' grid has an odd side."""

    dim: int
    depth: int
    heads: int
    patch: int


PRESETS = {
    "tiny": Preset(192, 4, 4, 2),
    "latte-s2": Preset(384, 11, 6, 2),
    "latte-b2": Preset(768, 11, 12, 2),
}
"""The Latte ones have the size of Latte-S/2 (33 M parameters) and Latte-B/2 (130 M,
arXiv 2401.03048), each of their 12 layers, of space or of time, against 11 of both here."""


def find_preset(name: str) -> Preset:
    """A preset by its name.

    Raises:
        ConfigError: there is none of this name; tells the nearest.
    """
    if name in PRESETS:
        return PRESETS[name]
    near = difflib.get_close_matches(name, PRESETS, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ConfigError(f"preset {name!r} is unknown; known: {', '.join(PRESETS)}{hint}")


def build_scratch(
    preset: str,
    *,
    channels: int,
    height: int,
    width: int,
    condition_channels: int,
    text_width: int = 384,
    timed: bool = True,
    classes: int = 0,
) -> SpaceTimeTransformer:
    """A fresh network of a preset's size for the latents and conditions of a data set."""
    size = find_preset(preset)
    return SpaceTimeTransformer(
        channels,
        height,
        width,
        condition_channels,
        patch=1 if height % size.patch or width % size.patch else size.patch,
        dim=size.dim,
        depth=size.depth,
        heads=size.heads,
        text_width=text_width,
        timed=timed,
        residual=not timed,
        classes=classes,
    )
