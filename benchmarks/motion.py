"""Whether videos of photographs show what their prompts ask for, and how cleanly.

    python -m benchmarks.motion PICTURES BOXES [--model embedded] [-o motion/] [--strips]
    python -m benchmarks.motion compare RUN OTHER

PICTURES is a folder of photographs, BOXES a table of hand-drawn boxes in them in the form of
benchmarks/boxes.json; `python -m benchmarks.photographs heldout/` collects both. With each picture
`fbridge generate` is asked for nine motions of the thing in the box, five of the camera, six in
unseen wordings, and the table's free prompts. Only frames are measured, so that any model will do:
the thing is within its hand-drawn outline, or found by GrabCut in the box, and followed by feature
points (benchmarks/judge/tracks.py).

A video goes *as asked* if the thing moves the way of the verb by 4 % of the height (8 % of its
size; 0.5 radians for a spin). It is *clean* if besides at least 70 % of the thing moves as one, at
most 15 % of the ground's points are dragged along, and at most 20 % of what the thing has left
still looks like it. Free prompts are judged by a person, from the strips.

OUT/videos.jsonl gets a line a video; what is there already is not made again. So changed code
needs a new folder; a changed model is noticed. The tables are printed at the end.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from benchmarks.judge.measure import (
    changed,
    first_difference,
    measure_camera,
    measure_object,
    pixel_flicker,
)
from benchmarks.judge.outline import Frame, Mask, drawn_mask, fitted_box, object_mask
from benchmarks.judge.prompts import (
    CAMERA,
    GROUPS,
    OBJECT,
    Photograph,
    Trial,
    read_photographs,
    trials,
)
from benchmarks.judge.tables import comparison, tables
from benchmarks.judge.verdicts import judge
from fbridge.data.pictures import fit_picture, load_picture
from fbridge.generate.load import load_pipeline
from fbridge.pipeline.sampling import BridgeSampling

LOG = "videos.jsonl"
STRIP, STRIP_HEIGHT = 6, 200
"""Frames of a strip, and its height in pixels."""


class Subject(NamedTuple):
    """A photograph as the model gets it, with the thing in it.

    Attributes:
        given: as it is passed to the pipeline.
        picture: (H, W, 3), fitted to the video's size.
        mask: of the thing in the box; None without a box.
        how: how the mask was found.
    """

    given: Image.Image
    picture: Frame
    mask: Mask | None
    how: str


def look(photograph: Photograph, side: int, pipeline: BridgeSampling) -> Subject:
    """Read a photograph, the longer side at most `side`, and find the thing in its box."""
    given = load_picture(photograph.path)
    given.thumbnail((side, side), Image.Resampling.LANCZOS)
    size = pipeline.output_size(given.size)
    picture = np.asarray(fit_picture(given, size).pixels)
    if photograph.box is None:
        return Subject(given, picture, None, "")
    if photograph.outlines:
        return Subject(given, picture, drawn_mask(photograph.outlines, given.size, size), "drawn")
    found = object_mask(picture, fitted_box(photograph.box, given.size, size))
    return Subject(given, picture, *found)


def measure(frames: Sequence[Frame], subject: Subject, trial: Trial) -> dict[str, Any]:
    """All that is found of one video, for its line in the log."""
    thing = trial.verb not in CAMERA and subject.mask is not None
    if thing and subject.mask is not None:
        found = measure_object(frames, subject.mask)
    else:
        found = measure_camera(frames)
    return {
        "verdict": judge(trial.verb, found.motion) if trial.verb else None,
        "thing": thing,
        "first": first_difference(frames, subject.picture),
        "changed": changed(frames),
        "pixel_flicker": pixel_flicker(frames),
        **found.row(),
    }


def make(
    pipeline: BridgeSampling, given: Image.Image, trial: Trial
) -> tuple[list[Frame], list[str]]:
    """The frames of one video, as `fbridge generate` makes it, and the notes that it tells."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", UserWarning)
        frames = list(pipeline(given, trial.prompt, seed=trial.seed).frames[0])
    notes = [str(one.message) for one in told if issubclass(one.category, UserWarning)]
    return frames, list(dict.fromkeys(notes))


def write_strip(frames: Sequence[Frame], path: Path) -> None:
    """Write six frames of a video, evenly spaced, side by side as JPEG."""
    picked = np.linspace(0, len(frames) - 1, STRIP).round().astype(int)
    strip = Image.fromarray(np.concatenate([frames[number] for number in picked], axis=1))
    strip.thumbnail((strip.width, STRIP_HEIGHT), Image.Resampling.LANCZOS)
    path.parent.mkdir(exist_ok=True)
    strip.save(path, quality=85)


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of an earlier run; one that was cut short is removed from the file."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole, encoding="utf-8")
    return [json.loads(line) for line in whole.splitlines()]


def run(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Make and measure what is not in the log yet; returns the lines of all that was asked for."""
    photographs = list(read_photographs(args.pictures, args.boxes, args.only))
    pipeline = load_pipeline(args.model, device=args.device).pipeline
    same = {"model": pipeline.model_hash, "side": args.side}
    log = args.out / LOG
    done = {(row["name"], row["prompt"], row["seed"]): row for row in read_log(log)}
    for key, value in same.items():
        if others := {row[key] for row in done.values()} - {value}:
            raise SystemExit(f"{log}: {key} is {others.pop()}, not {value}; give another folder -o")
    args.out.mkdir(parents=True, exist_ok=True)
    rows, began = [], time.monotonic()
    for photograph in photographs:
        todo = list(trials(photograph, args.groups, args.verbs, args.seeds))
        subject = look(photograph, args.side, pipeline)
        for trial in todo:
            if trial.key not in done:
                frames, notes = make(pipeline, subject.given, trial)
                row = _heading(trial, subject, notes) | same | measure(frames, subject, trial)
                with log.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                done[trial.key] = row
                if args.strips:
                    write_strip(frames, args.out / "strips" / f"{_slug(trial)}.jpg")
            rows.append(done[trial.key])
        print(f"{time.monotonic() - began:5.0f} s  {photograph.name}", file=sys.stderr)
    return rows


def _heading(trial: Trial, subject: Subject, notes: list[str]) -> dict[str, Any]:
    """What a video is of, and what was told about it."""
    height, width = subject.picture.shape[:2]
    known = {key: value for key, value in trial._asdict().items() if key != "photograph"}
    return {
        "name": trial.photograph.name,
        "kind": trial.photograph.kind,
        **known,
        "size": [width, height],
        "mask": subject.how,
        "notes": notes,
    }


def _slug(trial: Trial) -> str:
    words = f"{trial.photograph.name} {trial.group} {trial.prompt} {trial.seed}"
    return "-".join("".join(c if c.isalnum() else " " for c in words).split())


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _some_of(known: Sequence[str], text: str) -> list[str]:
    chosen = _names(text)
    if unknown := [name for name in chosen if name not in known]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}")
    return chosen


def arguments(line: Sequence[str]) -> argparse.Namespace:
    """The options of a run."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("pictures", type=Path, help="folder of NAME.png (or .jpg, ...)")
    parser.add_argument("boxes", type=Path, help="table in the form of benchmarks/boxes.json")
    parser.add_argument("-o", "--out", type=Path, default=Path("motion"))
    parser.add_argument("--model", default="embedded", help="as fbridge generate --model")
    parser.add_argument("--device", default="auto", help="as fbridge generate --device")
    parser.add_argument("--only", type=_names, default=[], help="names of pictures: a,b")
    parser.add_argument(
        "--groups",
        type=lambda text: _some_of(GROUPS, text),
        default=list(GROUPS),
        help=",".join(GROUPS),
    )
    parser.add_argument(
        "--verbs", type=lambda text: _some_of(list(OBJECT), text), default=[], help="of a thing"
    )
    parser.add_argument(
        "--seeds", type=lambda text: [int(seed) for seed in text.split(",")], default=[0]
    )
    parser.add_argument("--side", type=int, default=288, help="longer side of the pictures")
    parser.add_argument("--strips", action="store_true", help="write six frames of each video")
    return parser.parse_args(line)


def main(line: Sequence[str]) -> None:
    """Measure and print, or compare two runs."""
    if line[:1] == ["compare"]:
        parser = argparse.ArgumentParser(prog="motion.py compare")
        parser.add_argument("runs", type=Path, nargs=2, help="folders of two runs")
        folders = parser.parse_args(line[1:]).runs
        one, other = (read_log(folder / LOG) for folder in folders)
        print(*comparison(one, other, (str(folders[0]), str(folders[1]))), sep="\n")
    else:
        print(*tables(run(arguments(line))), sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
