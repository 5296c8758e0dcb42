#!/usr/bin/env bash
# decord 0.6.0, files made with PyAV 18.1.0
#
# 1. Narrow videos: the array has the padding of the decoder's rows as channels. Seen for 48 lines of H.264: a video of 48
#    columns is (48, 48, 4) in place of (48, 48, 3), one of 16 columns (48, 16, 6); 32 and 64 columns are (..., 3). The numbers are
#    in place row by row: reshape(height, -1)[:, :3 * width] gives the picture to within the decoders' rounding.
# 2. A display matrix that mirrors: left to right is shown turned by 180 degrees, top to bottom as stored, and the two quarter
#    turns with a mirror as plain quarter turns. The four pure rotations are applied.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check decord==0.6.0 av==18.1.0 numpy==2.2.6
cat > "$work/see.py" <<'PY'
import itertools
import sys
from pathlib import Path

import av
import decord
import numpy as np

work = Path(sys.argv[1])


def write(name, width, height):
    """Four frames of one picture without any symmetry."""
    down, across = np.mgrid[:height, :width]
    picture = np.stack([250 * across / width, 250 * down / height, 0 * down + 60], -1).astype(np.uint8)
    with av.open(str(work / name), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for _ in range(4):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())
    return picture.astype(int)


def first(name):
    return decord.VideoReader(str(work / name)).next().asnumpy().astype(int)


shapes = {}
for width in (16, 32, 48, 64):
    picture, seen = write("narrow.mp4", width, 48), first("narrow.mp4")
    shapes[width] = seen.shape
    rows = seen.reshape(48, -1)[:, : 3 * width].reshape(picture.shape)
    assert np.abs(rows - picture).mean() < 6, (width, np.abs(rows - picture).mean())
print(shapes)
assert shapes == {16: (48, 16, 6), 32: (48, 32, 3), 48: (48, 48, 4), 64: (48, 64, 3)}, shapes


def oriented(picture, turned, mirrored, flipped):
    picture = picture.swapaxes(0, 1) if turned else picture
    picture = picture[:, ::-1] if mirrored else picture
    return picture[::-1] if flipped else picture


picture = write("film.mp4", 96, 64)
plain = (work / "film.mp4").read_bytes()
every = list(itertools.product((0, 1), repeat=3))
shown = {}
for turned, mirrored, flipped in every:
    across, down = (-1 if mirrored else 1), (-1 if flipped else 1)
    matrix = (0, down, across, 0) if turned else (across, 0, 0, down)
    data, place = bytearray(plain), plain.index(b"tkhd") + 44
    for offset, value in zip((0, 4, 12, 16), matrix, strict=True):
        data[place + offset : place + offset + 4] = (65536 * value).to_bytes(4, "big", signed=True)
    (work / "turned.mp4").write_bytes(data)
    seen = first("turned.mp4")
    errors = {way: np.abs(oriented(picture, *way) - seen[..., :3]).mean() for way in every
              if oriented(picture, *way).shape == seen.shape}
    shown[turned, mirrored, flipped] = min(errors, key=errors.get)
print(shown)
rotations = [(0, 0, 0), (0, 1, 1), (1, 1, 0), (1, 0, 1)]
assert all(shown[way] == way for way in rotations), shown
assert all(shown[way] != way for way in every if way not in rotations), shown
PY
"$work/venv/bin/python" "$work/see.py" "$work"
echo "as described"
