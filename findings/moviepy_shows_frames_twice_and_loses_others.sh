#!/usr/bin/env bash
# moviepy 2.2.1 with NumPy 2.2.6: ImageSequenceClip(frames, fps=...), by which many write the frames they have generated
#
# One frame follows the other at fps, so that one expects each of them once in the file. Two roundings are in the way. A
# frame begins at i / fps less the epsilon of float32, for tolerance; since NumPy 2 that difference is of float32 itself,
# and from two seconds on it rounds back to i / fps, often to just above it: the frame asked for at that time is then the
# one before, which is shown twice, and this one never. And the number of frames is int(fps * sum of the frames' durations),
# which is one less where the sum is just below n / fps: the last frame goes. Seen in files without loss that PyAV reads
# back: of 49 frames at 10 per second there are 48, five on the way were left out for the one before them, shown twice, and
# the last is lost; of 81 at 24 there are 80, and of 81 at 30 81, one of them twice. Of all lengths up to 128 at 8, 10, 12,
# 15, 16, 24, 25 and 30 per second half are not what was given; at 8 and 16, where times are exact, all are right. Per-frame
# measures against such a file compare other frames, and a loop has a hitch. NumPy 1.26 shows no frame twice, and still
# loses the last. Nothing is raised or logged. Frames handed to PyAV or imageio one by one are all there.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check moviepy==2.2.1 numpy==2.2.6 av==18.1.0 \
    imageio-ffmpeg==0.6.0 pillow==11.3.0
cd "$work"
cat > "$work/write.py" <<'PY'
import sys

import numpy as np
from moviepy import ImageSequenceClip

RATES = (8, 10, 12, 15, 16, 24, 25, 30)


def clip(count, rate):
    """Frames each of which has its number in all of its pixels."""
    return ImageSequenceClip([np.full((16, 16, 3), number, np.uint8) for number in range(count)], fps=rate)


def shown(count, rate):
    return [int(frame[0, 0, 0]) for frame in clip(count, rate).iter_frames(fps=rate)]


if __name__ == "__main__":
    found = {(rate, count): shown(count, rate) for rate in RATES for count in range(1, 129)}
    wrong = {key for key, numbers in found.items() if numbers != list(range(key[1]))}
    twice = {key for key, numbers in found.items() if len(set(numbers)) < len(numbers)}
    short = {key for key, numbers in found.items() if len(numbers) < key[1]}
    print(f"NumPy {np.__version__}: of {len(found)} wrong {len(wrong)}, frames twice {len(twice)}, too short {len(short)}")
    assert not {rate for rate, _ in wrong} & {8, 16}
    assert len(short) > 50, len(short)
    assert len(twice) > 300 if sys.argv[1] == "2" else not twice, len(twice)
    assert np.__version__[0] == sys.argv[1]
PY
"$work/venv/bin/python" write.py 2
"$work/venv/bin/python" - <<'PY'
import warnings

import av
from write import clip

warnings.simplefilter("error")


def written(count, rate):
    clip(count, rate).write_videofile(
        "video.mp4", codec="libx264rgb", ffmpeg_params=["-crf", "0"], audio=False, logger=None
    )
    with av.open("video.mp4") as file:
        return [int(frame.to_ndarray(format="rgb24")[0, 0, 0]) for frame in file.decode(video=0)]


for count, rate, wanted in ((49, 10, 48), (81, 24, 80), (81, 30, 81), (81, 16, 81)):
    numbers = written(count, rate)
    lost = sorted(set(range(count)) - set(numbers))
    twice = [number for number in set(numbers) if numbers.count(number) > 1]
    print(f"{count} frames at {rate}: {len(numbers)} in the file; never shown {lost}, twice {sorted(twice)}")
    assert len(numbers) == wanted, len(numbers)
    assert bool(lost) == (rate != 16)
    if rate == 10:
        assert len(lost) == 6 and len(twice) == 5, (lost, twice)
PY
"$work/venv/bin/pip" install --quiet --disable-pip-version-check numpy==1.26.4
"$work/venv/bin/python" write.py 1
echo "as described"
