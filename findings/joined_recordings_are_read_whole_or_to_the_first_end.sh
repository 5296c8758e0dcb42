#!/usr/bin/env bash
# PyAV 18.1.0 (its own ffmpeg): two recordings joined byte by byte, as `cat a b > c` and restarted recorders make them
#
# Seen, with two recordings of 8 frames each: AVI, GIF, Matroska and MPEG-TS give all 16 frames; MP4 and FLV give the first 8
# and end like a whole file, without an error. What the headers say is the first recording's in all of them: 8 frames for AVI
# and GIF, a duration of 0.8 s everywhere. So a file that holds twice its declared frames is as silent as one of which half
# is never read; only a look at the bytes behind the first end tells the two apart.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 numpy==2.2.6
"$work/venv/bin/python" - <<'PY'
import io

import av
import numpy as np

CODECS = {
    "mp4": "mpeg4", "flv": "flv", "avi": "mpeg4", "matroska": "mpeg4", "gif": "gif", "mpegts": "mpeg2video",
}


def recording(kind, codec, first):
    out = io.BytesIO()
    with av.open(out, "w", format=kind) as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
        for number in range(first, first + 8):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 10 * number, np.uint8), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return out.getvalue()


def read(data):
    """Frames decoded, frames that the header declares (0: none), duration in seconds."""
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        decoded = sum(len(stream.decode(packet)) for packet in container.demux(stream))
        return decoded, stream.frames, container.duration / av.time_base


seen = {kind: read(recording(kind, codec, 0) + recording(kind, codec, 10)) for kind, codec in CODECS.items()}
print(seen)
assert {kind: frames for kind, (frames, _, _) in seen.items()} == {
    "mp4": 8, "flv": 8, "avi": 16, "matroska": 16, "gif": 16, "mpegts": 16,
}
assert {declared for _, declared, _ in seen.values()} == {0, 8}
assert {seconds for _, _, seconds in seen.values()} == {0.8}
print("as described")
PY
