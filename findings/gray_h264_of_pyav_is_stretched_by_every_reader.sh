#!/usr/bin/env bash
# PyAV 18.1.0: pix_fmt = "gray" on an H.264 stream, as for depth maps, masks and other guides of one channel
#
# A guide has no colour, so that a stream of pix_fmt "gray" and frames of format "gray" look right: nothing needs to be
# converted, and with crf 0 nothing is lost. The luma plane of the file is indeed exact, from 0 to 255. But the stream is not
# marked as full range, the decoder hands out yuv420p, and there luma goes from 16 to 235. Every reader therefore stretches it:
# 0 to 16 become 0, 235 to 255 become 255, 64 is read as 55. Seen with PyAV (as "rgb24" and as "gray"), OpenCV, decord and
# imageio: values are up to 20 of 255 off, what is near or far in a depth map becomes flat, and soft edges of masks get
# harder. With pix_fmt "yuv420p" all of them give the ramp back to within 1, and so they do for gray in FFV1 and H.265, or with
# color_range = 2 (full) on the stream's context. imageio with pixelformat="gray", which runs ffmpeg's own program, marks the
# file, so that two ways to write the same stream differ. Nothing is raised or logged.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    av==18.1.0 imageio==2.38.1 imageio-ffmpeg==0.8.1 opencv-python-headless==5.0.0.93 decord==0.6.0 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - "$work" <<'PY'
import logging
import sys

import av
import cv2
import decord
import imageio.v2 as imageio
import numpy as np

av.logging.set_level(av.logging.WARNING)
logging.basicConfig(level=logging.WARNING)
RAMP = np.tile(np.arange(256, dtype=np.uint8).repeat(2), (64, 1))
SHOWN = [0, 8, 16, 64, 128, 192, 235, 245, 255]


def written(codec, pix_fmt, options, full=False):
    path = f"{sys.argv[1]}/{codec}-{pix_fmt}-{full}.mkv"
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=8, options=options)
        stream.width, stream.height, stream.pix_fmt = RAMP.shape[1], RAMP.shape[0], pix_fmt
        if full:
            stream.codec_context.color_range = 2
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(RAMP, format="gray")))
        container.mux(stream.encode())
    return path


def frame(path):
    with av.open(path) as container:
        return next(container.decode(video=0))


def read(path):
    """The first frame's ramp by each reader."""
    frames = {
        "PyAV rgb24": frame(path).to_ndarray(format="rgb24")[..., 0],
        "PyAV gray": frame(path).to_ndarray(format="gray"),
        "OpenCV": cv2.VideoCapture(path).read()[1][..., 0],
        "decord": decord.VideoReader(path)[0].asnumpy()[..., 0],
    }
    with imageio.get_reader(path, format="FFMPEG") as reader:
        frames["imageio"] = np.asarray(reader.get_data(0))[..., 0]
    return {name: picture[32, ::2].astype(int) for name, picture in frames.items()}


def by_imageio():
    path = f"{sys.argv[1]}/imageio.mp4"
    imageio.mimwrite(path, [RAMP] * 3, fps=8, quality=10, macro_block_size=1, pixelformat="gray")
    return path


lossless = {"crf": "0"}
files = {
    "PyAV, H.264, gray": written("libx264", "gray", lossless),
    "PyAV, H.264, gray, full range": written("libx264", "gray", lossless, full=True),
    "PyAV, H.264, yuv420p": written("libx264", "yuv420p", lossless),
    "PyAV, H.265, gray": written("libx265", "gray", {"x265-params": "lossless=1:log-level=none"}),
    "PyAV, FFV1, gray": written("ffv1", "gray", {}),
    "imageio, H.264, gray": by_imageio(),
}
print("written", SHOWN)
for name, path in files.items():
    first = frame(path)
    print(name, "- decoded as", first.format.name, "range", int(first.color_range))
    for reader, ramp in read(path).items():
        error = int(np.abs(ramp - np.arange(256)).max())
        print(f"  {reader:11} {[int(ramp[level]) for level in SHOWN]} off by up to {error}")
        if name == "PyAV, H.264, gray":
            assert ramp[0] == ramp[16] == 0 and ramp[235] == ramp[255] == 255 and ramp[64] < 58 and error >= 16
        else:
            assert error <= 1
plane = frame(files["PyAV, H.264, gray"]).to_ndarray()[: RAMP.shape[0]]
print("the luma plane of the first file is exact:", bool(np.array_equal(plane, RAMP)))
assert np.array_equal(plane, RAMP)
print("as described")
PY
