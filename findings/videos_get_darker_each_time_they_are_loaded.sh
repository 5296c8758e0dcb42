#!/usr/bin/env bash
# diffusers 0.42.1, imageio 2.38.1, imageio-ffmpeg 0.8.1 (its own ffmpeg): export_to_video and load_video, over and over
#
# Long videos are made piece by piece, each from the last frames of the one before, and videos are given to a second pipeline
# as files. One would think that a file at the highest quality costs some detail, by chance to either side. But ffmpeg's
# conversion from YUV to RGB, as imageio's reader and so load_video leave it, comes out a level too dark in all channels, and
# that adds up. Seen with a smooth video and nothing but exporting and loading ten times: its mean goes from 128.1 down to
# 117.1 of 255, and a plain orange of 200, 120, 60 is 188, 108, 49. The writing, at quality 10, has no part in it: with
# "-sws_flags accurate_rnd+full_chroma_int" for the reader alone the mean is 128.1 after ten times, for the writer alone it is
# 117.1. Frames as arrays, which is what pipelines return by default, lose half a level more in an export than those
# from output_type="pil", as they are cut to whole numbers and not rounded. Nothing is logged.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 diffusers==0.42.1 \
    imageio==2.38.1 imageio-ffmpeg==0.8.1 pillow==13.0.0 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - "$work" <<'PY'
import sys

import imageio
import numpy as np
from diffusers.utils import export_to_video, load_video
from PIL import Image

PATH, TIMES, FLAGS = f"{sys.argv[1]}/video.mp4", 10, ["-sws_flags", "accurate_rnd+full_chroma_int"]

down, across = np.mgrid[:64, :64]
smooth = []
for number in range(8):
    waves = [np.sin((across + 2 * number) / 11), np.cos((down - number) / 9), np.sin((across + down + number) / 13)]
    smooth.append(0.5 + 0.3 * np.stack(waves, -1))
smooth = np.stack(smooth).astype(np.float32)
orange = np.broadcast_to(np.float32([200, 120, 60]) / 255, smooth.shape)


def pictures(arrays):
    """As output_type="pil" makes them."""
    return [Image.fromarray(np.rint(255 * one).astype(np.uint8)) for one in arrays]


def passed(frames):
    export_to_video(frames, PATH, fps=8, quality=10)
    return load_video(PATH)


def careful(writer, reader):
    def done(frames):
        with imageio.get_writer(PATH, fps=8, quality=10, output_params=FLAGS if writer else []) as file:
            for frame in frames:
                file.append_data(np.asarray(frame))
        with imageio.get_reader(PATH, output_params=FLAGS if reader else []) as file:
            return [Image.fromarray(frame) for frame in file]

    return done


def mean(frames):
    return float(np.mean([np.asarray(frame) for frame in frames]))


def means(way, frames):
    """Of the frames, and after each time that they were written and read."""
    found = [mean(frames)]
    for _ in range(TIMES):
        frames = way(frames)
        assert len(frames) == len(smooth)
        found.append(mean(frames))
    return np.round(found, 2), frames


start = pictures(smooth)
kept = {}
ways = {"diffusers": passed}
ways |= {f"careful writer {one}, reader {two}": careful(one, two) for one in (False, True) for two in (False, True)}
for name, way in ways.items():
    kept[name], _ = means(way, start)
    print(f"{name}:", *kept[name])
assert (kept["diffusers"] == kept["careful writer False, reader False"]).all()
assert kept["diffusers"][0] - kept["diffusers"][-1] > 8 and (np.diff(kept["diffusers"]) < -0.5).all()
assert abs(kept["careful writer True, reader False"] - kept["diffusers"]).max() < 0.3
for writer in (False, True):
    assert abs(kept[f"careful writer {writer}, reader True"] - kept["diffusers"][0]).max() < 0.2

_, last = means(passed, pictures(orange))
shade = np.asarray(last[4])[32, 32].tolist()
_, same = means(careful(True, True), pictures(orange))
print("orange after ten times", shade, "and carefully", np.asarray(same[4])[32, 32].tolist())
assert all(now <= before - 7 for now, before in zip(shade, [200, 120, 60], strict=True))
assert abs(np.asarray(same[4])[32, 32] - np.array([200, 120, 60])).max() <= 2

first = [mean(passed(frames)) for frames in (list(smooth), start)]
print("once, from arrays and from pictures:", *np.round(first, 2))
assert 0.3 < first[1] - first[0] < 0.7
print("as described")
PY
