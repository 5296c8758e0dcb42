"""The result of an evaluation: each score with its protocol, interval and baselines.

The table, the JSON file, the HTML report and the comparison of two evaluations are made from it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from fbridge.errors import DataError

FORMAT = 1
"""Increased when a reader of the old format could misread the new one."""

Better = Literal["lower", "higher", "neither"]


@dataclass(frozen=True)
class Interval:
    """A confidence interval over the choice of clips; it does not cover the spread between seeds.

    Attributes:
        low, high: its ends.
        level: nominal coverage, such as 0.95.
        method: how it was computed, such as "percentile bootstrap, 2000 replicates".
    """

    low: float
    high: float
    level: float
    method: str


@dataclass(frozen=True)
class Score:
    """One metric of one set of generated clips.

    Attributes:
        metric: its name on the command line, such as "fvd".
        label: its name in print, such as "FVD".
        protocol: id of all that decides the value; values with different ids are not comparable.
        value: the number.
        better: which direction is better; "neither" for motion, which should match the reference's.
        interval: None where there are too few clips for one.
        generated: number of generated clips.
        reference: number of real clips; 0 for a metric that needs none.
        warning: a reason to read the value with care, or "".
        details: further numbers of the same measurement: "ddof0", "limit", "limit_stderr", ...
        baselines: the same metric of "real against real", "codec round trip", "picture repeated"
            and "frames shuffled".
        quartiles: the metric over quarters of the clips, from least to most motion of the
            reference; empty where there are too few.
        clips: score of each clip by its key; empty for a distance between sets.
    """

    metric: str
    label: str
    protocol: str
    value: float
    better: Better
    interval: Interval | None
    generated: int
    reference: int
    warning: str = ""
    details: Mapping[str, float] = field(default_factory=dict)
    baselines: Mapping[str, float] = field(default_factory=dict)
    quartiles: tuple[float, ...] = ()
    clips: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ClipPair:
    """One generated clip and its real counterpart.

    Attributes:
        key: the same on both sides.
        generated: file of the video that the clip is cut from.
        reference: file of the real video, if there is one.
        picture: file of the picture it was made from, if it is not the reference's first frame.
        caption: if known.
        generated_hash, reference_hash: of the file's bytes and of which frames were taken; features
            are cached under them.
        motion: mean optical flow of the reference, in pixels per frame; NaN if not measured.
    """

    key: str
    generated: str
    reference: str = ""
    picture: str = ""
    caption: str = ""
    generated_hash: str = ""
    reference_hash: str = ""
    motion: float = float("nan")


@dataclass(frozen=True)
class Side:
    """Summary of one of the two sets of clips.

    Attributes:
        name: the source as the user gave it.
        clips: number of clips that were used.
        hash: sha256 over the sorted hashes of its clips.
        dropped: reasons for leaving clips out, and how many clips each.
        sizes, codecs, rates: number of clips with each value, such as {"256x256": 12}.
    """

    name: str
    clips: int
    hash: str
    dropped: Mapping[str, int] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    codecs: Mapping[str, int] = field(default_factory=dict)
    rates: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """The result of one `fbridge eval`.

    Attributes:
        title: heading.
        protocol: name of the protocol, such as "stylegan-v".
        frames, stride, size: number of frames, step between them, (width, height) or None.
        scores: in the order of the request.
        generated, reference: the sides; the reference is None where none was given.
        pairs: every generated clip that was used.
        notes: one line each.
        versions: of fbridge, torch, av and python.
        seconds: run time.
    """

    title: str
    protocol: str
    frames: int
    stride: int
    size: tuple[int, int] | None
    scores: tuple[Score, ...]
    generated: Side
    reference: Side | None
    pairs: tuple[ClipPair, ...]
    notes: tuple[str, ...]
    versions: Mapping[str, str]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """As JSON values; numbers that are not finite become text."""
        return {"format": FORMAT, **_plain(asdict(self))}


def parse_evaluation(text: str, source: str) -> Evaluation:
    """The evaluation in a JSON text; `source` names it in errors.

    Raises:
        DataError: the text is no result, or one of another format.
    """
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        raise DataError(f"{source}: is no JSON; write one with fbridge eval --json") from None
    if not isinstance(tree, dict) or "format" not in tree or "scores" not in tree:
        raise DataError(f"{source}: is no result of fbridge eval; write one with --json")
    if tree["format"] != FORMAT:
        raise DataError(
            f"{source}: has format {tree['format']!r}, this fbridge reads {FORMAT}; upgrade fbridge"
        )
    try:
        return TypeAdapter(Evaluation).validate_python(tree)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise DataError(f"{source}: is damaged ({place}: {first['msg']}); make it again") from None


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    return value
