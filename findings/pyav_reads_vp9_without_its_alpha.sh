#!/usr/bin/env bash
# PyAV 18.1.0 (its own ffmpeg): VP9 in WebM with an alpha channel, as videos of cut-out people and effects are handed on
#
# VP9 has its alpha as a second stream beside each packet. PyAV writes one when libvpx-vp9 is given yuva420p, and reads files by
# ffmpeg's own decoder, which leaves it out: the same program's frames come back as yuv420p, and as rgba they are opaque. Seen:
# what was transparent shows the colour that lay hidden under it, here green, with an alpha of 255. The stream's pix_fmt is
# yuv420p as well; only its metadata, alpha_mode=1, tells. ProRes 4444 and FFV1, written and read by the same lines, keep
# their alpha, so a set of mixed files has it in some. Copying packets into MP4 by add_stream_from_template drops the
# alpha; into WebM it keeps it, but without alpha_mode. Nothing is raised or logged. A CodecContext of "libvpx-vp9", fed with
# the packets, gives yuva420p.
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

work = Path(sys.argv[1])
picture = np.zeros((64, 64, 4), np.uint8)
picture[:32] = (0, 255, 0, 0)
picture[32:] = (200, 0, 0, 255)


def write(name, codec, pix_fmt):
    with av.open(str(work / name), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, pix_fmt
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgba")))
        container.mux(stream.encode())


def copy(name, other):
    with av.open(str(work / name)) as source, av.open(str(work / other), "w") as target:
        stream = source.streams.video[0]
        copied = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is not None:
                packet.stream = copied
                target.mux(packet)


def read(name, decoder=None):
    """The format of the frames, alpha_mode, and the colours of a transparent and an opaque place."""
    with av.open(str(work / name)) as container:
        stream = container.streams.video[0]
        context = av.CodecContext.create(decoder, "r") if decoder else stream.codec_context
        frames = [frame for packet in container.demux(stream) for frame in context.decode(packet)]
        assert len(frames) == 3
        colours = frames[0].to_ndarray(format="rgba")[[5, 50], 5].astype(int)
        seen = frames[0].format.name, stream.metadata.get("alpha_mode"), colours
        print(name, decoder or stream.codec.name, *seen[:2], *colours)
        return seen


def near(colours, alpha):
    return np.abs(colours - [[0, 255, 0, alpha], [200, 0, 0, 255]]).max() <= 3


write("film.webm", "libvpx-vp9", "yuva420p")
write("film.mov", "prores_ks", "yuva444p10le")
write("film.mkv", "ffv1", "yuva420p")
for name in ("film.mov", "film.mkv"):
    assert near(read(name)[2], 0)
pix_fmt, mode, colours = read("film.webm")
assert (pix_fmt, mode) == ("yuv420p", "1") and near(colours, 255)
pix_fmt, mode, colours = read("film.webm", "libvpx-vp9")
assert pix_fmt == "yuva420p" and near(colours, 0)
for name, kept in (("copy.mp4", False), ("copy.webm", True)):
    copy("film.webm", name)
    pix_fmt, mode, colours = read(name, "libvpx-vp9")
    assert pix_fmt == ("yuva420p" if kept else "yuv420p") and mode is None and near(colours, 0 if kept else 255)
print("as described")
PY
"$work/venv/bin/python" "$work/see.py" "$work"
