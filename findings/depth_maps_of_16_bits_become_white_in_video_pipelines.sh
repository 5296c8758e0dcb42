#!/usr/bin/env bash
# diffusers 0.42.1 with Pillow 12.1.0: depth maps of 16 bits, and of floats, as pictures of a control or an input video
#
# Depth estimators write PNGs of 16 bits, or TIFFs of floats from 0 to 1, and pipelines with a control video take pictures.
# They are not read by their range but as if they went to 255. load_image makes RGB of what it reads, by cutting at 255: of a
# depth ramp all but the nearest 256th is white. The processors of control videos (do_convert_rgb=True, as in AnimateDiff's
# ControlNet and SparseCtrl pipelines) do the same to frames opened by hand. A processor without that setting, as Wan's and
# most others' are, divides 65535 by 255 and hands on values up to 257 in place of 1, or 513 for the range from -1 to 1. Float
# pictures of 0 to 1 become black: none is brighter than one 255th, and in RGB all but the greatest are zero. Seen on a ramp,
# beside the same ramp in 8 bits, which is right. The network is then guided by a white or a black wall. Nothing is raised,
# warned or logged. Scaled to 8 bits, or handed over as arrays from 0 to 1, all are right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 diffusers==0.42.1 pillow==12.1.0 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - "$work" <<'PY'
import logging
import sys
import warnings
from pathlib import Path

import numpy as np
from diffusers.utils import load_image
from diffusers.video_processor import VideoProcessor
from PIL import Image

SIZE = 64
work = Path(sys.argv[1])


class Heard(logging.Handler):
    said = []

    def emit(self, record):
        self.said.append(record.getMessage())


logging.getLogger("diffusers").addHandler(Heard())
warnings.simplefilter("error", UserWarning)

depth = np.linspace(0, 1, SIZE * SIZE, dtype=np.float32).reshape(SIZE, SIZE)
Image.fromarray(np.round(depth * 65535).astype(np.uint16)).save(work / "sixteen.png")
Image.fromarray(np.round(depth * 255).astype(np.uint8)).save(work / "eight.png")
Image.fromarray(depth).save(work / "float.tiff")
processors = {
    "control (RGB, 0 to 1)": (VideoProcessor(vae_scale_factor=8, do_convert_rgb=True, do_normalize=False), 0),
    "plain (-1 to 1)": (VideoProcessor(vae_scale_factor=8), -1),
}


def described(values, low):
    """The greatest value, and how far the video is from the depth."""
    right = low + (1 - low) * depth
    return float(values.max()), float(np.abs(values - right).mean()) / (1 - low)


for name in ("eight.png", "sixteen.png", "float.tiff"):
    opened = Image.open(work / name)
    loaded = np.asarray(load_image(str(work / name)))[..., 0] / 255
    white, black = float((loaded == 1).mean()), float((loaded == 0).mean())
    print(f"{name}, mode {opened.mode}: load_image makes {white:.1%} white and {black:.1%} black")
    found = {}
    for kind, (processor, low) in processors.items():
        video = processor.preprocess_video([opened] * 5, height=SIZE, width=SIZE)
        found[kind] = described(video[0, 0, 0].numpy(), low)
        print(f"  {kind}: greatest value {found[kind][0]:.3f}, mean error {found[kind][1]:.3f} of the range")
    (high, error), (plain_high, plain_error) = found.values()
    if name == "eight.png":
        assert white < 0.01 and black < 0.01 and max(error, plain_error) < 0.01 and high == plain_high == 1
    elif name == "sixteen.png":
        assert white > 0.99 and high == 1 and error > 0.49 and plain_high == 513 and plain_error > 100
    else:
        assert black > 0.99 and error > 0.49 and plain_high < -0.99 and plain_error > 0.49
array = VideoProcessor(vae_scale_factor=8).preprocess_video(np.tile(depth[None, ..., None], (5, 1, 1, 1)), SIZE, SIZE)
high, error = described(array[0, 0, 0].numpy(), -1)
print(f"as arrays from 0 to 1: greatest value {high:.3f}, mean error {error:.3f}; logged: {Heard.said}")
assert error < 0.01 and not Heard.said
print("as described")
PY
