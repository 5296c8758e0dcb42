#!/usr/bin/env bash
# diffusers 0.42.1 with Pillow 13.0.0: export_to_gif and load_video of a video that stands still for a while
#
# A picture that is animated often begins with some frames of the picture itself. Pillow writes a frame that equals the one
# before it by showing that one longer, and load_video reads the pictures of a GIF and not how long each is shown. Seen with
# 16 frames at 10 per second: of those that stand still at the beginning for 8, the file holds 9, and as the rate is taken
# from the first frame alone, return_fps=True says 1.25: nine frames that last 7.2 s in place of 16 in 1.6 s. Of those that
# stand still in the middle 9 come back as well, at 10 per second, which is 0.9 s; frames after the pause have other numbers.
# Masks, captions or poses by frame number are of other frames then. The first frame comes as a palette and the others in
# RGB, so that VideoProcessor refuses the list, too: "all input arrays must have the same shape". An MP4 by export_to_video
# gives 16 frames back. Animated WebP and PNG by Pillow join equal frames in the same way. Nothing is raised or logged.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 diffusers==0.42.1 \
    imageio==2.38.1 imageio-ffmpeg==0.8.1 pillow==13.0.0 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - "$work" <<'PY'
import sys

import numpy as np
from diffusers.utils import export_to_gif, export_to_video, load_video
from diffusers.video_processor import VideoProcessor
from PIL import Image

FRAMES, STILL, RATE = 16, 8, 10
down, across = np.mgrid[:64, :64]


def video(start):
    """Sixteen frames that move, but for seven that repeat the one at start; and the number of the picture in each."""
    shown = [number if number <= start else max(start, number - STILL + 1) for number in range(FRAMES)]
    frames = []
    for number in shown:
        waves = [128 + 100 * np.sin((across + 3 * number) / 9), 128 + 100 * np.cos((down - 2 * number) / 7)]
        frames.append(Image.fromarray(np.stack([*waves, (2 * across + down) % 256], -1).astype(np.uint8)))
    return frames, shown


def numbers(frames, found):
    """Which of the frames each found picture is, the first of equal ones."""
    known = [np.asarray(frame).astype(int) for frame in frames]
    return [
        min(range(FRAMES), key=lambda number: abs(known[number] - np.asarray(one.convert("RGB"))).mean()) for one in found
    ]


moving, shown = video(FRAMES)
assert shown == list(range(FRAMES))
export_to_gif(moving, f"{sys.argv[1]}/moving.gif", fps=RATE)
found, rate = load_video(f"{sys.argv[1]}/moving.gif", return_fps=True)
print("always moving:", numbers(moving, found), "rate", rate)
assert numbers(moving, found) == shown and rate == RATE

for start, said in ((0, RATE / STILL), (4, RATE)):
    frames, shown = video(start)
    assert len(frames) == FRAMES and shown.count(start) == STILL
    export_to_gif(frames, f"{sys.argv[1]}/still.gif", fps=RATE)
    found, rate = load_video(f"{sys.argv[1]}/still.gif", return_fps=True)
    print(f"still from {start}:", numbers(frames, found), "rate", rate, "lasts", len(found) / rate)
    print("  modes:", *[one.mode for one in found])
    assert len(found) == FRAMES - STILL + 1 and rate == said
    assert numbers(frames, found) == [*range(start + 1), *range(start + STILL, FRAMES)]
    assert found[0].mode == "P" and {one.mode for one in found[1:]} == {"RGB"}
    try:
        VideoProcessor(vae_scale_factor=8).preprocess_video(found)
    except ValueError as error:
        print("  VideoProcessor:", error)
    else:
        raise AssertionError("the processor takes the list")
    assert len(VideoProcessor(vae_scale_factor=8).preprocess_video([one.convert("RGB") for one in found])[0, 0]) == 9

    for kind, options in (("webp", {"lossless": True}), ("png", {})):
        path = f"{sys.argv[1]}/still.{kind}"
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=1000 // RATE, **options)
        with Image.open(path) as picture:
            print(f"  {kind}: {picture.n_frames} frames")
            assert picture.n_frames == FRAMES - STILL + 1

    export_to_video(frames, f"{sys.argv[1]}/still.mp4", fps=RATE, quality=10)
    found, rate = load_video(f"{sys.argv[1]}/still.mp4", return_fps=True)
    print("  mp4:", len(found), "frames, rate", rate)
    assert len(found) == FRAMES and rate == RATE
print("as described")
PY
