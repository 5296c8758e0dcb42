#!/usr/bin/env bash
# opencv-python-headless 5.0.0.93: remap and warpAffine where the picture moves by a small part of a pixel
#
# A slow camera moves a few hundredths of a pixel a frame. One would warp by that with the better filters, cubic or Lanczos,
# since the linear one blurs. Seen, with a smooth picture (a cosine of 32 pixels, float32) that 50 warps of 0.01 pixel should
# take half a pixel on: INTER_LINEAR moves it by 0.497, INTER_CUBIC by 0.738 and INTER_LANCZOS4 by 0.000. Cubic is exact
# about the place, but its kernel (a = -0.75) has one and a half times a picture's slope at zero, so that all small motion
# is half as large again; the contrast stays, and nothing shows it. Lanczos rounds places to 1/32 of a pixel, which the two
# others do not: below 1/64 nothing moves, and 25 warps of 0.02 make 0.865. At 0.1 pixel, five times, it is 0.498, 0.677 and
# 0.512. Nothing is said. Measures that warp a frame by its optical flow are of the filter as much as of the flow.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93 numpy==2.2.6
"$work/venv/bin/python" - <<'PY'
import cv2
import numpy as np

WIDTH, HEIGHT, PERIOD, MIDDLE = 256, 16, 32, slice(64, 192)
places = np.arange(WIDTH)
picture = np.tile((100 + 50 * np.cos(2 * np.pi * places / PERIOD)).astype(np.float32), (HEIGHT, 1))
down, across = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)


def moved(shown):
    """How far the cosine lies to the right of where it was, in pixels, and its height."""
    wave = np.exp(2j * np.pi * places[MIDDLE] / PERIOD) @ shown[HEIGHT // 2, MIDDLE].astype(float)
    return float(np.angle(wave) * PERIOD / (2 * np.pi)), 2 * abs(wave) / (MIDDLE.stop - MIDDLE.start)


def warped(how, step, times):
    by_remap = by_matrix = picture
    matrix = np.array([[1, 0, step], [0, 1, 0]], np.float32)
    for _ in range(times):
        by_remap = cv2.remap(by_remap, across - np.float32(step), down, how, borderMode=cv2.BORDER_REFLECT)
        by_matrix = cv2.warpAffine(by_matrix, matrix, (WIDTH, HEIGHT), flags=how, borderMode=cv2.BORDER_REFLECT)
    assert abs(moved(by_remap)[0] - moved(by_matrix)[0]) < 0.001, (how, step)
    return moved(by_remap)


HOW = {"linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC, "lanczos": cv2.INTER_LANCZOS4}
seen = {}
for step, times in ((0.01, 50), (0.02, 25), (0.1, 5)):
    for name, how in HOW.items():
        seen[name, step], height = warped(how, step, times)
        assert abs(height - 50) < 0.6, (name, step, height)
    print(f"{times} times {step}:", {name: round(seen[name, step], 3) for name in HOW})
assert all(abs(seen["linear", step] - 0.5) < 0.01 for step in (0.01, 0.02, 0.1))
assert abs(seen["cubic", 0.01] - 0.738) < 0.01 and abs(seen["cubic", 0.1] - 0.677) < 0.01
assert abs(seen["lanczos", 0.01]) < 0.0001 and abs(seen["lanczos", 0.02] - 0.865) < 0.01
PY
