#!/usr/bin/env bash
# opencv-python-headless 5.0.0.93: VideoCapture on films of high dynamic range and wide gamut, as phones and cameras write
#
# Readers of videos for data sets hand out the code values of a film in HDR (PQ or HLG, BT.2020) turned to RGB, and leave its
# curve and its primaries to whoever wants them; VideoCapture did so up to 4.12, if by the matrix of BT.601 for all. Version 5
# maps each such film to the curve and the primaries of BT.709, and cuts off what is brighter than its white. Seen on eight
# greys in 10 bits: of PQ all from 0.6 of the range of codes up is 255, of HLG all from 0.75 up 253 or more, so that four and
# three of the eight are one white; darker ones move, too, by up to 57 levels. PyAV and OpenCV 4.12 give all eight within
# two levels. A colour in BT.2020 of the usual range is another one, by its primaries and not by its matrix. What is cut
# cannot be had back, and a data set that is read in part by the new version holds two kinds of pictures. Films in BT.709
# keep their greys. Nothing is logged.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for version in 5.0.0.93 4.12.0.88; do
    python3 -m venv "$work/$version"
    "$work/$version/bin/pip" install --quiet --disable-pip-version-check \
        "opencv-python-headless==$version" av==18.1.0 numpy==2.2.6
done
cat > "$work/make.py" <<'PY'
import sys

import av
import numpy as np

WIDTH, HEIGHT, PATCH = 320, 64, 40
GREYS = [25, 64, 102, 128, 153, 191, 230, 255]
COLOUR = (200, 60, 40)
WEIGHTS = {1: (0.2126, 0.0722), 9: (0.2627, 0.0593)}  # of red and blue, by the number of the matrix


def planes(matrix):
    """Luma and chroma in 10 bits and limited range: greys above, one colour below."""
    red, blue = WEIGHTS[matrix]
    rgb = np.zeros((HEIGHT, WIDTH, 3))
    rgb[: HEIGHT // 2] = np.repeat(GREYS, PATCH)[None, :, None] / 255
    rgb[HEIGHT // 2 :] = np.array(COLOUR) / 255
    luma = rgb @ np.array([red, 1 - red - blue, blue])
    chroma = [(rgb[..., 2] - luma) / (2 * (1 - blue)), (rgb[..., 0] - luma) / (2 * (1 - red))]
    scaled = [4 * (16 + 219 * luma)] + [4 * (128 + 224 * plane[::2, ::2]) for plane in chroma]
    return [np.rint(plane).astype(np.uint16) for plane in scaled]


def write(path, matrix, primaries, curve):
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "1", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p10le"
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = matrix, primaries, curve, 1
        frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p10le")
        for plane, values in zip(frame.planes, planes(matrix), strict=True):
            padded = np.zeros((plane.height, plane.line_size // 2), np.uint16)
            padded[:, : plane.width] = values
            plane.update(padded.tobytes())
        frame.colorspace, frame.color_range, frame.pts = matrix, 1, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


for name, tags in {"sdr": (1, 1, 1), "pq": (9, 9, 16), "hlg": (9, 9, 18), "wide": (9, 9, 14), "matrix": (9, 1, 1)}.items():
    write(f"{sys.argv[1]}/{name}.mp4", *tags)
PY
cat > "$work/see.py" <<'PY'
import sys

import av
import cv2
import numpy as np

fifth = cv2.__version__.startswith("5")
GREYS, COLOUR = np.array([25, 64, 102, 128, 153, 191, 230, 255]), np.array([200, 60, 40])


def found(picture):
    picture = picture.astype(int)
    return picture[16, 20::40, 1], picture[48, 160]


print("OpenCV", cv2.__version__)
for name in ("sdr", "pq", "hlg", "wide", "matrix"):
    path = f"{sys.argv[1]}/{name}.mp4"
    with av.open(path) as container:
        greys, colour = found(next(container.decode(video=0)).to_ndarray(format="rgb24"))
    assert abs(greys - GREYS).max() <= 4 and abs(colour - COLOUR).max() <= 4, (name, greys, colour)
    capture = cv2.VideoCapture(path)
    ok, picture = capture.read()
    capture.release()
    assert ok
    ours, shade = found(picture[..., ::-1])
    print(f"  {name:6} PyAV", greys.tolist(), colour.tolist(), "OpenCV", ours.tolist(), shade.tolist())
    if not fifth:
        assert abs(ours - GREYS).max() <= 4
        continue
    if name in ("pq", "hlg"):
        first = {"pq": 4, "hlg": 5}[name]
        assert (ours[first:] >= 250).all() and ours[first - 1] < 250 and abs(ours - GREYS).max() > 50
    else:
        assert abs(ours - GREYS).max() <= 6
    if name == "wide":
        assert shade[0] - colour[0] > 30 and colour[1] - shade[1] > 30
    elif name in ("sdr", "matrix"):
        assert abs(shade - COLOUR).max() <= 6
PY
"$work/5.0.0.93/bin/python" "$work/make.py" "$work"
for version in 4.12.0.88 5.0.0.93; do
    "$work/$version/bin/python" "$work/see.py" "$work"
done
echo "as described"
