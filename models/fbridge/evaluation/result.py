"""What an evaluation found: every number with its protocol, its interval and what it compares to.

This is the one form in which results travel: the table, the JSON file, the report and the
comparison of two evaluations are all made from it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from fbridge.errors import DataError

FORMAT = 1
"""Raised when a reader of the old form could misread the new one."""

Better = Literal["lower", "higher", "neither"]


@dataclass(frozen=True)
class Interval:
    """Where a number would lie had other clips been drawn; not the spread between seeds.

    Attributes:
        low, high: its ends; either may be missing where it cannot be told.
        level: share of repetitions that it is meant to cover.
        method: how it was found, such as "pivotal bootstrap, 200 replicates".
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
        protocol: id of all that decides the number; two numbers compare only if it is equal.
        value: the number.
        better: which way is better; "neither" for motion, where it is the reference's that counts.
        interval: None where there are too few clips for one.
        generated: clips it is over.
        reference: real clips it is over; 0 for a metric that needs none.
        warning: why the number is to be read with care; empty if nothing speaks against it.
        details: further numbers of the same measurement: "ddof0", "limit", "limit_stderr", ...
        baselines: the same metric of what gives it meaning: "real against real", "codec round
            trip", "picture repeated", "frames shuffled".
        quartiles: the metric over the quarters of the clips, by the reference's motion, from least
            to most; empty where there are too few.
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
    """One generated clip and what it is held against.

    Attributes:
        key: joins the sides.
        generated: its file; the clip is cut from it as the protocol says.
        reference: the real clip's file, if there is one.
        picture: the file of the picture it was made from, if it is not the reference's first frame.
        caption: its words, if known.
        generated_hash, reference_hash: of the file's bytes and of which frames were taken, under
            which features are kept.
        motion: mean optical flow of the reference, in pixels a frame; NaN if not measured.
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
    """One of the two sets.

    Attributes:
        name: as the user gave it.
        clips: how many were used.
        hash: sha256 over the sorted hashes of its clips.
        dropped: reasons and how many clips each cost.
        sizes, codecs, rates: how many clips have which, such as {"256x256": 12}.
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
    """The outcome of one `fbridge eval`.

    Attributes:
        title: what was evaluated, for a heading.
        protocol: name of the protocol, such as "stylegan-v".
        frames, stride, size: of each clip: frames, every how many-th, (width, height) or None.
        scores: in the order in which they were asked for.
        generated, reference: the sides; the reference is None where no metric needs one.
        pairs: every clip that was used.
        notes: what the reader should know, one line each.
        versions: of fbridge, torch, av and python.
        seconds: it took.
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
        """As JSON values; what is not finite becomes text."""
        return {"format": FORMAT, **_plain(asdict(self))}

    @classmethod
    def from_json(cls, tree: Mapping[str, Any], source: str) -> Evaluation:
        """From what `to_json` gave; `source` names it in errors.

        Raises:
            DataError: when it is no such record, or one of a newer format.
        """
        if not isinstance(tree, Mapping) or "format" not in tree or "scores" not in tree:
            raise DataError(f"{source}: is no result of fbridge eval; write one with --json")
        if tree["format"] != FORMAT:
            raise DataError(
                f"{source}: has format {tree['format']!r}, this fbridge reads {FORMAT}; "
                "upgrade fbridge"
            )
        try:
            values = _restored({name: tree[name] for name in cls.__dataclass_fields__})
            return cls(
                **{
                    **values,
                    "size": None if values["size"] is None else tuple(values["size"]),
                    "scores": tuple(_score(score) for score in values["scores"]),
                    "generated": Side(**values["generated"]),
                    "reference": Side(**values["reference"]) if values["reference"] else None,
                    "pairs": tuple(ClipPair(**pair) for pair in values["pairs"]),
                    "notes": tuple(values["notes"]),
                }
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{source}: is damaged ({error}); make it again") from None


def parse_evaluation(text: str, source: str) -> Evaluation:
    """The evaluation in a JSON text; `source` names it in errors.

    Raises:
        DataError: when it is none.
    """
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        raise DataError(f"{source}: is no JSON; write one with fbridge eval --json") from None
    return Evaluation.from_json(tree, source)


_WORDS = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and repr(value) in _WORDS:
        return repr(value)
    return value


_NUMBERS = {"value", "low", "high", "level", "motion", "seconds"}


def _restored(value: Any, name: str = "") -> Any:
    """Numbers that are not finite are numbers again, where a number must be."""
    if isinstance(value, dict):
        numbers = name in {"details", "baselines", "clips"}
        return {key: _restored(one, "value" if numbers else key) for key, one in value.items()}
    if isinstance(value, list):
        return [_restored(one, "value" if name == "quartiles" else name) for one in value]
    if isinstance(value, str) and name in _NUMBERS:
        return _WORDS.get(value, value)
    return value


def _score(tree: Mapping[str, Any]) -> Score:
    interval = tree["interval"]
    return Score(
        **{
            **tree,
            "interval": Interval(**interval) if interval else None,
            "quartiles": tuple(tree["quartiles"]),
        }
    )
