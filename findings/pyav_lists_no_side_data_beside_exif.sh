#!/usr/bin/env bash
# PyAV 18.1.0, Pillow 12.1.0: side data of Motion JPEG frames with EXIF, as cameras write them
#
# ffmpeg 8 hands the EXIF block of a JPEG over as a kind of side data that PyAV's enumeration ends before. Seen: listing
# frame.side_data raises ValueError ("31 is not a valid Type"), so that code which looks for other kinds, such as the display
# matrix or HDR metadata, fails on every such frame. frame.rotation works, and is -90 for EXIF orientation 6; for a mirrored
# picture (orientation 2) it is -180 and the mirroring is lost, since the matrix cannot be listed; .get() of the
# display matrix's own type raises likewise.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 Pillow==12.1.0 numpy==2.2.6
"$work/venv/bin/python" - <<'PY'
import io
from fractions import Fraction

import av
from av.sidedata.sidedata import Type
from PIL import Image


def frame_of(orientation):
    jpeg, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (64, 48), "red").save(jpeg, "JPEG", exif=exif)
    film = io.BytesIO()
    with av.open(film, "w", format="avi") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        packet = av.Packet(jpeg.getvalue())
        packet.stream, packet.pts, packet.dts = stream, 0, 0
        packet.time_base, packet.is_keyframe = Fraction(1, 10), True
        container.mux(packet)
    film.seek(0)
    with av.open(film) as container:
        return next(container.decode(video=0))


def raised(call):
    try:
        call()
    except ValueError as error:
        return str(error)
    return ""


turned = frame_of(6)
assert turned.rotation == -90, turned.rotation
assert raised(lambda: list(turned.side_data)) == "31 is not a valid Type", raised(lambda: list(turned.side_data))
mirrored = frame_of(2)
print("mirrored: rotation", mirrored.rotation, "|", raised(lambda: mirrored.side_data.get(Type.DISPLAYMATRIX)))
assert mirrored.rotation == -180
assert raised(lambda: mirrored.side_data.get(Type.DISPLAYMATRIX))
print("as described")
PY
