"""Presets: named sizes of the space-time transformer for training from scratch."""

from __future__ import annotations

import difflib
from typing import NamedTuple

from fbridge.backbones.space_time import SpaceTimeTransformer
from fbridge.errors import ConfigError


class Preset(NamedTuple):
    """The size of a network; `patch` becomes 1 for latents whose sides are no multiples of it."""

    dim: int
    depth: int
    heads: int
    patch: int


PRESETS = {
    "tiny": Preset(192, 4, 4, 2),
    "latte-s2": Preset(384, 11, 6, 2),
    "latte-b2": Preset(768, 11, 12, 2),
}
"""latte-s2 and latte-b2 have the parameter counts of Latte-S/2 (33 M) and Latte-B/2 (130 M,
arXiv 2401.03048), whose 12 blocks are of space or of time; the 11 blocks here have both."""


def find_preset(name: str) -> Preset:
    """A preset by its name.

    Raises:
        ConfigError: there is none of this name; names the nearest.
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
    """A network of a preset's size with random weights, for the latents of a data set."""
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
