"""Collect the pictures that the embedded model is trained on.

    python -m examples.embedded.materials materials/

downloads six Debian packages (no root needed, nothing is installed), unpacks them beside the
target and writes

    materials/cutouts/<name>.png + <name>.txt   objects with alpha, each with its English noun
    materials/photos/<name>.jpg                 backgrounds

Licences (see each package's copyright file): tuxpaint-stamps-default GPL-2, openclipart-png public
domain, fonts-noto-color-emoji OFL-1.1, lomiri-wallpapers-16.04 and mate-backgrounds CC-BY and
CC-BY-SA photographs, plasma-workspace-wallpapers CC-BY-SA / LGPL.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
import unicodedata
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageStat

PACKAGES = (
    "tuxpaint-stamps-default",
    "openclipart-png",
    "fonts-noto-color-emoji",
    "lomiri-wallpapers-16.04",
    "mate-backgrounds",
    "plasma-workspace-wallpapers",
)
CLIPART_ROOMS = {
    "animals": "animal",
    "transportation/vehicles": "vehicle",
    "transportation/boating": "boat",
    "food/fruit": "fruit",
    "plants/flowers": "flower",
    "plants/trees": "tree",
    "recreation/toys": "toy",
}
STAMP_ROOMS_LEFT_OUT = {"symbols", "naturalforces", "medical"}
EMOJI_BLOCKS = (
    (0x1F308, 0x1F3FA),
    (0x1F400, 0x1F43E),
    (0x1F600, 0x1F64F),
    (0x1F680, 0x1F6FC),
    (0x1F980, 0x1F9C1),
)
CUTOUT_PIXELS = 224
PHOTO_PIXELS = 640


def unpack(package: str, folder: Path) -> Path:
    """A Debian package in folder/<package>/, downloaded where it is not there; whole if it is."""
    target = folder / package
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            subprocess.run(["apt-get", "download", "-q", package], cwd=scratch, check=True)
            archive, files = next(Path(scratch).glob("*.deb")), Path(scratch) / "files"
            subprocess.run(["dpkg", "-x", str(archive), str(files)], check=True)
            files.rename(target)
    return target


def noun_of(sentence: str) -> str:
    """The short noun of a caption: 'A Tamworth pig, asleep.' -> 'tamworth pig'; '' if none."""
    head = re.split(r"[.,;:!?()\u2013\u2014]| is | are | was | covered | used ", sentence.strip())[
        0
    ]
    head = re.sub(r"^(an?|the|some|two|three|one)\s+", "", head.strip().lower())
    head = re.sub(r"[^a-z \-]", "", head).strip()
    return head if head and len(head.split()) <= 3 else ""


def save_cutout(picture: Image.Image, noun: str, stem: str, folder: Path) -> None:
    """Trim to the object, shrink, and write picture and noun; skip what is no object."""
    picture = picture.convert("RGBA")
    box = picture.getchannel("A").point(lambda a: 255 if a > 40 else 0).getbbox()
    if box is None or not noun:
        return
    picture = picture.crop(box)
    picture.thumbnail((CUTOUT_PIXELS, CUTOUT_PIXELS), Image.Resampling.LANCZOS)
    cover = ImageStat.Stat(picture.getchannel("A")).mean[0] / 255
    if min(picture.size) < 24 or not 0.15 < cover < 0.97:
        return
    picture.save(folder / f"{stem}.png")
    (folder / f"{stem}.txt").write_text(noun + "\n", encoding="utf-8")


def stamps(root: Path, target: Path) -> None:
    """Tux Paint's stamps: photographs and drawings with a one-line caption beside each."""
    top = root / "usr/share/tuxpaint/stamps"
    for path in sorted(top.rglob("*.png")):
        caption = path.with_suffix(".txt")
        if path.relative_to(top).parts[0] in STAMP_ROOMS_LEFT_OUT or not caption.exists():
            continue
        noun = noun_of(caption.read_text(encoding="utf-8", errors="ignore").split("\n")[0])
        save_cutout(Image.open(path), noun, f"stamp-{path.stem}", target)


def clipart(root: Path, target: Path) -> None:
    """Open Clip Art: a word of the file's name that the others know, else the room's own noun."""
    top = root / "usr/share/openclipart/png"
    others = [p for p in target.glob("*.txt") if not p.stem.startswith("clipart-")]
    known = {p.read_text(encoding="utf-8").strip() for p in others}
    for room, general in CLIPART_ROOMS.items():
        for path in sorted((top / room).rglob("*.png")):
            words = re.sub(r"[^a-z]", " ", path.stem.lower()).split()
            noun = next((word for word in words if word in known), general)
            save_cutout(Image.open(path), noun, f"clipart-{path.stem}", target)


def emoji(root: Path, target: Path) -> None:
    """Noto's colour emoji: the character's Unicode name is the noun."""
    font = ImageFont.truetype(next(root.rglob("NotoColorEmoji.ttf")), 109)
    for first, last in EMOJI_BLOCKS:
        for code in range(first, last):
            noun = unicodedata.name(chr(code), "").lower().replace("-", " ")
            if not noun or len(noun.split()) > 3:
                continue
            canvas = Image.new("RGBA", (160, 160))
            ImageDraw.Draw(canvas).text((10, 10), chr(code), font=font, embedded_color=True)
            save_cutout(canvas, noun, f"emoji-{code:x}", target)


def photos(roots: list[Path], target: Path) -> None:
    """Background photographs, the largest version of each."""
    best: dict[str, tuple[int, Path]] = {}
    for root in roots:
        for path in root.rglob("*"):
            if path.suffix.lower() not in {".jpg", ".jpeg", ".png"} or "screenshot" in path.stem:
                continue
            with Image.open(path) as opened:
                size = opened.width * opened.height
            sized = re.fullmatch(r"[\d]+x[\d]+", path.stem)
            name = path.parents[2].name if sized else re.sub(r"_\d+x\d+$", "", path.stem)
            if size > 300_000 and size > best.get(name, (0, path))[0]:
                best[name] = (size, path)
    for name, (_, path) in sorted(best.items()):
        picture: Image.Image = Image.open(path).convert("RGB")
        picture.thumbnail((PHOTO_PIXELS, PHOTO_PIXELS), Image.Resampling.LANCZOS)
        picture.save(target / f"{name}.jpg", quality=92)


def main() -> None:
    """Fetch, unpack, sort."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("target", type=Path)
    target: Path = parser.parse_args().target
    packages = target / "packages"
    for folder in (packages, target / "cutouts", target / "photos"):
        folder.mkdir(parents=True, exist_ok=True)
    roots = [unpack(package, packages) for package in PACKAGES]
    stamps(roots[0], target / "cutouts")
    emoji(roots[2], target / "cutouts")
    clipart(roots[1], target / "cutouts")
    photos(roots[3:], target / "photos")
    for room in ("cutouts", "photos"):
        print(room, sum(1 for p in (target / room).iterdir() if p.suffix != ".txt"))


if __name__ == "__main__":
    main()
