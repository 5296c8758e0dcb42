#!/usr/bin/env bash
# PyAV 18.1.0 (its own ffmpeg): Graph.add_buffer(template=stream) on videos whose pixels are not square
#
# Broadcast, DVD and camcorder videos are stored narrower than they are shown: 720x576 with pixels of 64:45 is a picture of
# 16:9. The usual remedy before training is the filter "scale=iw*sar:ih,setsar=1", which makes it 1024x576. In PyAV the
# source of a graph is made by add_buffer(template=stream), which takes size, format and time base from the stream and writes
# pixel_aspect=1/1, whatever the stream says. So sar is 1 in every expression: the frames come out as 720x576, and all that is
# made of them is squeezed, circles are upright ovals. The stream's sample_aspect_ratio is 64:45 all the same, and
# "scale=ih*dar:ih", the other way to write it, is as wrong. A source that is made by hand, graph.add("buffer", ...) with the
# stream's pixel_aspect, gives 1024. add_buffer takes no argument for it, and nothing is raised or warned.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 numpy==2.2.6
cd "$work"
OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'PY'
import logging
import warnings
from fractions import Fraction

import av
import numpy as np

warnings.simplefilter("error")


class Heard(logging.Handler):
    said = []

    def emit(self, record):
        self.said.append(record.getMessage())


logging.getLogger("libav").addHandler(Heard())
av.logging.set_level(av.logging.WARNING)


def film(name, width, height, aspect):
    """A film of a disc that is round where it is shown with pixels of the given aspect."""
    rows, columns = np.mgrid[:height, :width]
    across = (columns - width / 2) * float(aspect)
    disc = (across**2 + (rows - height / 2) ** 2 < (height / 3) ** 2).astype(np.uint8)
    with av.open(name, "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.sample_aspect_ratio = aspect
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.repeat(disc[..., None] * 255, 3, 2), "rgb24")))
        container.mux(stream.encode())


def by_template(graph, stream):
    return graph.add_buffer(template=stream)


def by_hand(graph, stream):
    return graph.add(
        "buffer", video_size=f"{stream.width}x{stream.height}", pix_fmt=stream.format.name, time_base=str(stream.time_base),
        pixel_aspect=str(stream.sample_aspect_ratio),
    )  # fmt: skip


def filtered(name, source, *filters):
    graph = av.filter.Graph()
    with av.open(name) as container:
        stream = container.streams.video[0]
        nodes = [source(graph, stream), *(graph.add(*one) for one in filters), graph.add("buffersink")]
        for one, other in zip(nodes, nodes[1:]):
            one.link_to(other)
        graph.configure()
        graph.push(next(container.decode(stream)))
        return graph.pull(), stream.sample_aspect_ratio


def shape(frame):
    """Width over height of the disc, in pixels."""
    light = frame.to_ndarray(format="gray") > 128
    return float(light.any(0).sum() / light.any(1).sum())


square = (("scale", "iw*sar:ih"), ("setsar", "1"))
cases = {
    "PAL, wide": (720, 576, Fraction(64, 45), 1024), "HDV": (1440, 1080, Fraction(4, 3), 1920),
    "square": (640, 480, Fraction(1), 640),
}  # fmt: skip
for name, (width, height, aspect, wanted) in cases.items():
    film("film.mp4", width, height, aspect)
    for source in (by_template, by_hand):
        frame, told = filtered("film.mp4", source, *square)
        other, _ = filtered("film.mp4", source, ("scale", "ih*dar:ih"))
        print(
            f"{name}, pixels of {told}, source {source.__name__}: {frame.width}x{frame.height}, the disc "
            f"{shape(frame):.3f} as wide as high; by dar {other.width}x{other.height}, {shape(other):.3f}"
        )
        assert told == aspect
        right = source is by_hand or aspect == 1
        assert (frame.width, frame.height) == ((wanted if right else width), height)
        for one in (frame, other):
            assert one.width == frame.width and abs(shape(one) - (1 if right else 1 / float(aspect))) < 0.03
with av.open("film.mp4") as container:
    try:
        av.filter.Graph().add_buffer(template=container.streams.video[0], pixel_aspect="4/3")
    except TypeError as error:
        print("add_buffer(pixel_aspect=...):", error)
    else:
        raise AssertionError("there is an argument for it")
assert not [text for text in Heard.said if "aspect" in text.lower() or "sar" in text.lower()], Heard.said
print("as described")
PY
