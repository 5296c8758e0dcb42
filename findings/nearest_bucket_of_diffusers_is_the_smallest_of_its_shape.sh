#!/usr/bin/env bash
# diffusers 0.42.1: training_utils.parse_buckets_string and find_nearest_bucket with buckets of more than one resolution
#
# The two are how the training scripts sort what they are given into buckets of height and width: "the closest bucket to the
# given height and width". Trainings on videos mix resolutions, so that a list has 720 x 1280, 480 x 832 and 360 x 640. Closeness
# is |h * W - w * H|, which is the difference of the shapes times the bucket's size, and of equals the last one wins. Seen: a
# video of exactly 720 x 1280 is put into 360 x 640 where that comes later in the list, and into its own bucket in the reverse
# order. One of 704 x 1280 or 720 x 1264 goes into 360 x 640 in any order, a quarter of its pixels, as does one of 1080 x 2048:
# a bucket has to be twice as close in shape as one of half its height. Of 4201 sizes from 480 to 1600, lying and upright, nine
# tenths are not in a bucket of the closest shape and its largest size, and none is in 720 x 1280, or three in the reverse
# order. With buckets of one number of pixels, as generate_aspect_ratio_buckets makes them, all but a few in a thousand are
# right. Nothing is warned or logged. A list for each resolution, chosen by the video's own number of pixels, is the way out.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 diffusers==0.42.1 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'PY'
import math
import warnings

from diffusers.training_utils import find_nearest_bucket, generate_aspect_ratio_buckets, parse_buckets_string

warnings.simplefilter("error", UserWarning)
LARGE_FIRST = parse_buckets_string("720,1280;1280,720;480,832;832,480;360,640;640,360")
SMALL_FIRST = LARGE_FIRST[::-1]


def chosen(size, buckets):
    return buckets[find_nearest_bucket(*size, buckets)]


def shape(size):
    return math.log(size[0] / size[1])


def closest(size, buckets):
    """The bucket of the closest shape, the largest one of equals."""
    return min(buckets, key=lambda bucket: (abs(shape(size) - shape(bucket)), -bucket[0]))


for size, first, last in (
    ((720, 1280), (360, 640), (720, 1280)),
    ((1080, 1920), (360, 640), (720, 1280)),
    ((704, 1280), (360, 640), (360, 640)),
    ((720, 1264), (360, 640), (360, 640)),
    ((1080, 2048), (360, 640), (360, 640)),
    ((480, 832), (480, 832), (480, 832)),
):
    found = chosen(size, LARGE_FIRST), chosen(size, SMALL_FIRST)
    print(size, "large first:", found[0], "small first:", found[1], "closest shape:", closest(size, LARGE_FIRST))
    assert found == (first, last)
    assert closest(size, LARGE_FIRST) == ((480, 832) if size == (480, 832) else (720, 1280))

sizes = [(h, w) for h in range(480, 1601, 16) for w in range(480, 1601, 16) if 0.5 <= h / w <= 2]
for name, buckets in (
    ("three resolutions, large first", LARGE_FIRST),
    ("three resolutions, small first", SMALL_FIRST),
    ("one resolution", generate_aspect_ratio_buckets(480)),
):
    found = [chosen(size, buckets) for size in sizes]
    missed = sum(one != closest(size, buckets) for one, size in zip(found, sizes, strict=True)) / len(sizes)
    large = found.count((720, 1280))
    print(f"{name}: {missed:.2%} of {len(sizes)} sizes are not in the bucket of the closest shape, {large} are in 720 x 1280")
    if name == "one resolution":
        assert missed < 0.01
    else:
        assert missed > 0.1
    if name.endswith("large first"):
        assert large == 0
print("as described")
PY
