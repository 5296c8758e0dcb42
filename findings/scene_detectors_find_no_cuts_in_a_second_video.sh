#!/usr/bin/env bash
# scenedetect 0.7.2 (PySceneDetect): detect() with one detector for several videos, as to cut many films into clips
#
# A detector is made with its settings and given to detect(path, detector), and one expects it to hold settings and no more:
# detector = AdaptiveDetector(); for path in paths: detect(path, detector). It holds the last cut of the video before, too,
# and a cut counts only min_scene_len frames after that one. The difference of two times is never below zero, so every cut of
# the second video that comes earlier than the last cut of the first is dropped. Seen with AdaptiveDetector and
# HistogramDetector: of a second film of the same length no cut is found, and detect() returns an empty list, which is what
# it returns for a film of one shot. Which cuts are lost depends on the order of the films; after a short film a long one
# loses its beginning. ContentDetector finds all of them. What is made of such lists is clips that hold several shots, or
# none. Documentation and docstrings do not say that a detector is for one video, and nothing is raised, warned or logged.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check scenedetect==0.7.2 av==18.1.0 numpy==2.2.6
cd "$work"
OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'PY'
import logging
import warnings

import av
import numpy as np
from scenedetect import AdaptiveDetector, ContentDetector, HistogramDetector, detect


class Heard(logging.Handler):
    said = []

    def emit(self, record):
        self.said.append(record.getMessage())


logging.getLogger("pyscenedetect").addHandler(Heard(level=logging.WARNING))
warnings.simplefilter("error")
numbers = np.random.default_rng(0)


def film(name, cuts, length):
    """A film whose picture changes at the given frames, with something small that moves all the time."""
    with av.open(name, "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width = stream.height = 96
        stream.pix_fmt = "yuv420p"
        colour = numbers.integers(0, 256, 3)
        for number in range(length):
            if number in cuts:
                colour = (colour + numbers.integers(90, 160, 3)) % 256
            picture = np.full((96, 96, 3), colour, np.uint8)
            picture[:, number % 80 : number % 80 + 10] //= 2
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())
    return name


films = {
    film("first.mp4", {50, 100, 150, 190}, 220): [0, 50, 100, 150, 190],
    film("second.mp4", {40, 80, 120, 160}, 220): [0, 40, 80, 120, 160],
    film("long.mp4", {60, 120, 180, 240, 300}, 340): [0, 60, 120, 180, 240, 300],
}


def starts(name, detector):
    return [start.frame_num for start, _ in detect(name, detector)]


for kind in (ContentDetector, AdaptiveDetector, HistogramDetector):
    print(kind.__name__)
    for name, cuts in films.items():
        found = starts(name, kind())
        print(f"  a detector for {name} alone: shots begin at {found}")
        assert found == cuts
    detector = kind()
    for name, cuts in films.items():
        found = starts(name, detector)
        print(f"  one for all, {name}: {found}")
        if kind is ContentDetector or name == "first.mp4":
            assert found == cuts
        elif name == "second.mp4":
            assert found == []
        else:
            assert found == [0, 240, 300]
    detector = kind()
    other = {name: starts(name, detector) for name in reversed(films)}
    print("  in the other order:", {name: len(found) for name, found in other.items()}, "shots")
    assert kind is ContentDetector or other["second.mp4"] == other["first.mp4"] == []
assert not Heard.said, Heard.said
print("as described")
PY
