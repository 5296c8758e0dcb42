#!/usr/bin/env bash
# av 18.1.0: VideoFrame.side_data, read of decoded frames
#
# The orientation of a video (mirrored ones too, which frame.rotation does not tell) and motion vectors are in a frame's side
# data, so loaders look at it frame by frame, and one would expect a frame to be given back with its last reference, as it is
# else. The first look makes a container that refers to its frame, which refers to the container: a cycle, so the pixels stay
# until Python's collector runs. That counts objects, not bytes: a frame is a handful of them, whatever its size, and 700 must come
# together. Seen: of 60 decoded frames of 640x360 none is alive after the loop, and with one look at their side data all 60 are;
# resident memory grows by what they take (20 MB here; of 4K frames 36 times as much, in each worker of a loader). A gc.collect()
# gives them back, gc.freeze() or gc.disable(), which training loops use for even steps, keep them for good. Nothing is raised
# or logged.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 numpy==2.2.6
VIDEO="$work/film.mp4" "$work/venv/bin/python" - <<'PY'
import gc
import os

import av
import numpy as np

FRAMES, HEIGHT, WIDTH = 60, 360, 640
rng = np.random.default_rng(0)
with av.open(os.environ["VIDEO"], "w") as container:
    stream = container.add_stream("libx264", rate=24)
    stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    noise = rng.integers(0, 255, (HEIGHT, WIDTH + FRAMES, 3), np.uint8)
    for number in range(FRAMES):
        pixels = np.ascontiguousarray(noise[:, number : number + WIDTH])
        container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
    container.mux(stream.encode())


def resident():
    with open("/proc/self/statm") as facts:
        return int(facts.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def alive():
    return sum(type(one) is av.VideoFrame for one in gc.get_objects())


def watch(look):
    """Frames that are alive after a video was decoded, and by how much the memory has grown."""
    gc.collect()
    before = resident()
    with av.open(os.environ["VIDEO"]) as container:
        container.streams.video[0].thread_count = 1
        for frame in container.decode(video=0):
            if look:
                list(frame.side_data)
    del frame, container
    return alive(), resident() - before


watch(look=False)  # what is made once
plain, grown_plain = watch(look=False)
looked, grown = watch(look=True)
print(f"without a look: {plain} frames alive, {grown_plain:.0f} MB more")
print(f"with a look: {looked} frames alive, {grown:.0f} MB more")
gc.collect()
left = alive()
print(f"after gc.collect(): {left} alive")
gc.disable()
for _ in range(3):
    with av.open(os.environ["VIDEO"]) as container:
        for frame in container.decode(video=0):
            list(frame.side_data)
    del frame, container
print(f"three videos without the collector: {alive()} alive")
assert plain == 0 and looked == FRAMES and left == 0 and alive() == 3 * FRAMES
assert grown_plain < 5 < 12 < grown
PY
