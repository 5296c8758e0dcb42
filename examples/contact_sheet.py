"""Lay some frames of videos under each other, each with its prompt: a sheet to judge motion by.

python -m examples.contact_sheet cat.mp4 cat-2.mp4 -o sheet.jpg
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fbridge.data.provenance import read_provenance
from fbridge.data.video_files import read_video

COLUMNS, WIDTH, LINE = 6, 1200, 22


def strip(path: Path, caption: str = "", width: int = WIDTH) -> Image.Image:
    """Equally spaced frames of a video side by side, under its prompt, seed, caption and notes."""
    record = read_provenance(path)
    frames = read_video(path).frames
    chosen = frames[np.linspace(0, len(frames) - 1, COLUMNS).round().astype(int)]
    row = Image.fromarray(np.concatenate(list(chosen), axis=1))
    row = row.resize((width, round(row.height * width / row.width)), Image.Resampling.LANCZOS)
    sheet = Image.new("RGB", (width, row.height + LINE), "white")
    said = [f'"{record.prompt}", seed {record.seed}', *filter(None, [caption]), *record.notes]
    font = ImageFont.load_default(15)
    ImageDraw.Draw(sheet).text((4, 2), "; ".join(said), fill="black", font=font)
    sheet.paste(row, (0, LINE))
    return sheet


def stack(strips: Sequence[Image.Image]) -> Image.Image:
    """Strips of one width under each other."""
    sheet = Image.new("RGB", (strips[0].width, sum(s.height for s in strips)), "white")
    top = 0
    for part in strips:
        sheet.paste(part, (0, top))
        top += part.height
    return sheet


def main() -> None:
    """Stack the strips and write the sheet."""
    parser = argparse.ArgumentParser()
    parser.add_argument("videos", type=Path, nargs="+")
    parser.add_argument("-o", "--out", type=Path, default=Path("sheet.jpg"))
    args = parser.parse_args()
    stack([strip(path) for path in args.videos]).save(args.out, quality=85)


if __name__ == "__main__":
    main()
