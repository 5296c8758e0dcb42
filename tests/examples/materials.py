"""Drawn cut-outs, backgrounds and photographs with masks, in the layout of the recipe's."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw


def draw_materials(folder: Path, number: int = 40) -> None:
    """So many of each that a tenth is held out."""
    for room in ("cutouts", "photos", "natural/masks"):
        (folder / room).mkdir(parents=True)
    for i in range(number):
        cutout = Image.new("RGBA", (60, 50))
        ImageDraw.Draw(cutout).ellipse((5, 5, 55, 45), fill=(250, 6 * i, 20, 255))
        cutout.save(folder / f"cutouts/thing{i}.png")
        (folder / f"cutouts/thing{i}.txt").write_text(f"egg{i}\n")
        sky = Image.new("RGB", (300, 200), (10, 20, 5 * i))
        sky.save(folder / f"photos/sky{i}.jpg")
        sky.paste(cutout, (100, 80), cutout)
        sky.save(folder / f"natural/egg{i}.jpg")
        mask = Image.new("L", sky.size)
        mask.paste(cutout.getchannel("A"), (100, 80))
        mask.save(folder / f"natural/masks/egg{i}.png")
