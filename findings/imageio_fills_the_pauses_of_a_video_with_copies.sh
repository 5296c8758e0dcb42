#!/usr/bin/env bash
# imageio 2.38.1, imageio-ffmpeg 0.8.1 (its own ffmpeg): a video of uneven frame times, as phones and screen recorders write
#
# get_reader is how diffusers.utils.load_video and many loaders of data sets read a file. What it yields are not the file's
# frames: ffmpeg is left to make their times even, at the rate that it guesses, and fills every pause with copies of the frame
# before it. Seen, with 10 frames at 0, 1, 2, 3, 10 to 13, 30 and 31 thirtieths of a second: 32 frames, of which 17 show the eighth.
# In the same object count_frames() is 10, and the metadata's fps is 9.38, the average: 32 frames at 9.38 are 3.4 s of a video
# that lasts 1.07 s. Labels by frame number mean other pictures. get_data(9), the last by count_frames(), is the
# fourth in a new reader and the ninth in one that was read to its end, which looks for 9 / 9.38 s. Nothing is raised or
# logged. imageio.v3 with plugin="pyav" gives the ten.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    imageio==2.38.1 imageio-ffmpeg==0.8.1 av==18.1.0 pillow==12.1.0 numpy==2.2.6 psutil==7.2.2
cat > "$work/see.py" <<'PY'
import sys
from fractions import Fraction

import av
import imageio
import imageio.v3
import numpy as np

path = sys.argv[1] + "/film.mp4"
times = [0, 1, 2, 3, 10, 11, 12, 13, 30, 31]
tick = Fraction(1, 30)
with av.open(path, "w") as container:
    stream = container.add_stream("libx264", rate=30, options={"crf": "1", "bf": "0"})
    stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
    stream.codec_context.time_base = tick
    for number, time in enumerate(times):
        frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 20 + 20 * number, np.uint8), "rgb24")
        frame.pts, frame.time_base = time, tick
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def number(picture):
    """Which of the ten a frame shows, by its brightness."""
    return round(float(np.asarray(picture).mean()) / 20) - 1


with av.open(path) as container:
    seen = [(round(frame.time * 30), number(frame.to_ndarray(format="rgb24"))) for frame in container.decode(video=0)]
assert seen == list(zip(times, range(10), strict=True)), seen
with imageio.get_reader(path) as reader:
    shown = [number(frame) for frame in reader]
    counted, meta = reader.count_frames(), reader.get_meta_data()
    late = number(reader.get_data(counted - 1))
with imageio.get_reader(path) as reader:
    last = number(reader.get_data(counted - 1))
print(len(shown), "frames:", shown)
print("counted:", counted, "fps:", meta["fps"], "duration:", meta["duration"], "last by count:", last, late)
assert len(shown) == 32 and shown.count(7) == 17, shown
assert counted == 10 and 9 < meta["fps"] < 10 and 1.0 < meta["duration"] < 1.1
assert shown == [max(place for place, time in enumerate(times) if time <= moment) for moment in range(32)], shown
assert (last, late) == (3, 8), (last, late)
plain = [number(frame) for frame in imageio.v3.imread(path, plugin="pyav")]
assert plain == list(range(10)), plain
print("as described")
PY
"$work/venv/bin/python" "$work/see.py" "$work"
