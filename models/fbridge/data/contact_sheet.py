"""Contact sheets: videos as strips of frames below each other."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fbridge.data.video_writers import Frames

COLUMNS = 8
THUMB, LINE, GAP = 148, 16, 6
_NAME = 76
"""Width of a strip's name."""


def strips(
    title: str, caption: str, videos: Sequence[Frames], names: Sequence[str] = ()
) -> Image.Image:
    """Equally spaced frames of videos (F, H, W, 3) of one size, a strip each, below their caption.

    Args:
        title: grey, first.
        caption: of all of them.
        videos: at least one; all as long as the first.
        names: of the strips, at their left.
    """
    true = videos[0]
    columns = np.linspace(0, len(true) - 1, min(COLUMNS, len(true))).round().astype(int)
    height = round(THUMB * true.shape[1] / true.shape[2])
    left = _NAME if names else 0
    width = left + COLUMNS * (THUMB + 2)
    words = textwrap.wrap(caption or "(no caption)", 150)[:2]
    top = LINE * (1 + len(words)) + 2
    image = Image.new("RGB", (width, top + len(videos) * (height + 2) + GAP), "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(12)
    for place, (line, colour) in enumerate([(title, "gray"), *((word, "black") for word in words)]):
        draw.text((0, place * LINE), _drawable(line), colour, font)
    for strip, frames in enumerate(videos):
        y = top + strip * (height + 2)
        if names:
            draw.text((0, y + height // 2 - LINE // 2), _drawable(names[strip]), "black", font)
        for column, frame in enumerate(columns):
            thumb = Image.fromarray(frames[frame]).resize((THUMB, height), Image.Resampling.LANCZOS)
            image.paste(thumb, (left + column * (THUMB + 2), y))
    return image


def stack(images: Sequence[Image.Image]) -> Image.Image:
    """Pictures below each other on white."""
    width = max(image.width for image in images)
    sheet = Image.new("RGB", (width, sum(image.height for image in images)), "white")
    top = 0
    for image in images:
        sheet.paste(image, (0, top))
        top += image.height
    return sheet


def _drawable(text: str) -> str:
    """Text with question marks for letters that the font lacks: all but Latin ones."""
    return text.encode("latin-1", errors="replace").decode("latin-1")
