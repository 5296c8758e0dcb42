#!/usr/bin/env bash
# PyAV 18.1.0: colorspace and color_range of an encoder's context, and frames that are given to it as RGB
#
# A stream takes frames of rgb24 and converts them to its pix_fmt. It has a colorspace and a color_range too, which one would
# set to BT.709, or to full range, to have such a file. They are written into the file as tags, but the conversion goes on as it
# did, by BT.601 and into 16 to 235. Seen for one plain colour, (200, 40, 60), in H.264 at nearly no loss: without tags it is
# read back as it was, to within 3; with colorspace=BT.709 as (212, 55, 57); with color_range=full as (189, 48, 66), paler. The
# planes are equal byte for byte to those without tags. PyAV itself, and any player, reads what the tags say. A model trained
# on such files learns the shift. Nothing is raised or logged. frame.reformat(..., dst_colorspace=, dst_color_range=) before
# encode() does convert, and pix_fmt="yuvj420p" converts to full range by itself.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 numpy==2.2.6
cat > "$work/see.py" <<'PY'
import sys
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

work = Path(sys.argv[1])
colour = np.array([200, 40, 60])
picture = np.broadcast_to(colour, (64, 64, 3)).astype(np.uint8)


def written(pix_fmt="yuv420p", convert=None, **tags):
    """The planes of the first frame, and the colour that PyAV reads from the file."""
    with av.open(str(work / "film.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, pix_fmt
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            container.mux(stream.encode(frame.reformat(format=pix_fmt, **convert) if convert else frame))
        container.mux(stream.encode())
    with av.open(str(work / "film.mp4")) as container:
        frame = next(container.decode(video=0))
        for name, value in tags.items():
            assert getattr(frame, name) == value, (name, getattr(frame, name))
        return frame.to_ndarray()[:, :64], frame.to_ndarray(format="rgb24").astype(int).mean((0, 1)).round()


def near(seen, expected, within=3):
    print(seen)
    return np.abs(seen - expected).max() <= within


planes, seen = written()
assert near(seen, colour)
for tags, other in (
    ({"colorspace": Colorspace.ITU709}, (212, 55, 57)),
    ({"color_range": ColorRange.JPEG}, (189, 48, 66)),
):
    tagged, seen = written(**tags)
    assert near(seen, other), (tags, seen)
    assert np.array_equal(tagged, planes)
    converted, seen = written(convert={"dst_" + name: value for name, value in tags.items()}, **tags)
    assert near(seen, colour), (tags, seen)
    assert not np.array_equal(converted, planes)
assert near(written("yuvj420p")[1], colour)
print("as described")
PY
"$work/venv/bin/python" "$work/see.py" "$work" 2> "$work/log" || { cat "$work/log"; exit 1; }
