"""Analyse the answers of a user study: preference rates, Bradley-Terry strengths, agreement."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch

from fbridge.errors import DataError
from fbridge.evaluation.intervals import LEVEL, central_quantiles, wilson_interval
from fbridge.evaluation.result import Interval
from fbridge.evaluation.user_study.page import FORMAT
from fbridge.files.schema import Form, form_fault

_REPLICATES = 500
_FEWEST_PEOPLE = 5


class _Video(Form):
    system: str
    clip: str


class _Key(Form):
    format: int
    study: str
    media: dict[str, _Video]
    checks: dict[str, str]


class _Answer(Form):
    trial: str
    left: str
    right: str
    choice: Literal["left", "right", "none"]


class _Answers(Form):
    format: int
    study: str
    participant: str
    answers: list[_Answer]


Trials = list[list[dict[str, Any]]]
"""Answers of each participant, without attention checks."""
Media = dict[str, dict[str, str]]
"""System and clip of each video by its id, from the key."""


@dataclass(frozen=True)
class PairResult:
    """Two systems: how often the first one was preferred.

    Attributes:
        first, second: their names.
        wins, losses, ties: number of answers for the first, for the second, for neither.
        rate: (wins + ties / 2) over all answers.
        interval: Wilson's, of the rate.
        agreement: share of answers that agree with the majority on their clip, over clips with two
            answers or more; NaN without such clips.
    """

    first: str
    second: str
    wins: int
    losses: int
    ties: int
    rate: float
    interval: Interval | None
    agreement: float


@dataclass(frozen=True)
class StudyResult:
    """The result of a study.

    Attributes:
        participants: number of participants whose answers count.
        inattentive: names of those who failed an attention check and are excluded.
        pairs: every two systems.
        strengths: Bradley-Terry log-odds with mean 0, for three systems or more.
        strength_intervals: of the strengths, over participants, for five or more of them.
        left: share of left among the answers left and right; 0.5 is no bias.
        left_interval: of that share.
    """

    participants: int
    inattentive: tuple[str, ...]
    pairs: tuple[PairResult, ...]
    strengths: Mapping[str, float]
    strength_intervals: Mapping[str, Interval]
    left: float
    left_interval: Interval | None

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def analyse_study(answers: Sequence[tuple[str, str]], key: tuple[str, str]) -> StudyResult:
    """Analyse the answers of all participants.

    Args:
        answers: name and text of each participant's file.
        key: name and text of the key that `write_study` wrote.

    Raises:
        DataError: a file is damaged or of another study, or a participant has two files.
    """
    facts = _parse(*key, _Key)
    checks, media = facts["checks"], facts["media"]
    people: dict[str, list[dict[str, Any]]] = {}
    for name, text in answers:
        participant, own = _answers(name, _parse(name, text, _Answers), facts, key[0])
        if participant in people:
            raise DataError(f"participant {participant} is there twice; take one of the files out")
        people[participant] = own
    failed = {
        participant
        for participant, own in people.items()
        for answer in own
        if answer["trial"] in checks and answer[answer["choice"]] != checks[answer["trial"]]
    }
    trials = [
        [answer for answer in own if answer["trial"] not in checks]
        for participant, own in people.items()
        if participant not in failed
    ]
    systems = sorted({one["system"] for one in media.values()})
    sides = Counter(answer["choice"] for own in trials for answer in own)
    chosen = sides["left"] + sides["right"]
    several = len(systems) > 2 and bool(trials)
    return StudyResult(
        participants=len(trials),
        inattentive=tuple(sorted(failed)),
        pairs=tuple(_pair(a, b, trials, media) for a, b in itertools.combinations(systems, 2)),
        strengths=_strengths(systems, trials, media) if several else {},
        strength_intervals=_strength_intervals(systems, trials, media) if several else {},
        left=sides["left"] / chosen if chosen else math.nan,
        left_interval=wilson_interval(sides["left"], chosen),
    )


def bradley_terry(wins: torch.Tensor) -> torch.Tensor:
    """Log strengths (K,), mean 0, from wins (K, K) of rows over columns (Hunter 2004).

    A tenth of a win either way is added to every pair that met, which keeps strengths finite.
    """
    met = wins + wins.T > 0
    wins = wins.double() + 0.1 * met
    games = wins + wins.T
    strength = torch.ones(len(wins), dtype=torch.float64)
    for _ in range(10_000):
        before = strength
        strength = wins.sum(1) / (games / (strength[:, None] + strength)).sum(1)
        strength = strength / strength.log().mean().exp()
        if (strength.log() - before.log()).abs().max() < 1e-12:
            break
    return strength.log()


def _parse(name: str, text: str, form: type[Form]) -> dict[str, Any]:
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        raise DataError(f"{name}: is no JSON; take the file as the page saved it") from None
    if not isinstance(tree, dict) or tree.get("format") != FORMAT or "study" not in tree:
        raise DataError(f"{name}: is no file of a study of this fbridge")
    if fault := form_fault(form, tree):
        raise DataError(f"{name}: is damaged ({fault}); take the file as it was saved")
    return tree


def _answers(
    name: str, tree: dict[str, Any], key: dict[str, Any], key_name: str
) -> tuple[str, list[dict[str, Any]]]:
    """The participant and the checked answers of a file."""
    if tree["study"] != key["study"]:
        raise DataError(f"{name}: belongs to another study than {key_name}")
    media = key["media"]
    for answer in tree["answers"]:
        sides = [answer["left"], answer["right"]]
        shown = [media.get(side, {"system": "", "clip": ""}) for side in sides]
        is_pair = (
            all(side in media for side in sides)
            and shown[0]["clip"] == shown[1]["clip"]
            and shown[0]["system"] != shown[1]["system"]
        )
        if not (is_pair or key["checks"].get(answer["trial"]) in sides):
            raise DataError(f"{name}: has an answer that this study never asked for")
        answer["none"] = ""
    for trial, times in Counter(answer["trial"] for answer in tree["answers"]).items():
        if times > 1:
            raise DataError(
                f"{name}: answers trial {trial!r} {times} times; take the file as the page saved it"
            )
    return tree["participant"], tree["answers"]


def _pair(first: str, second: str, trials: Trials, media: Media) -> PairResult:
    votes: dict[str, Counter[str]] = {}
    for answer in itertools.chain.from_iterable(trials):
        sides = {side: media[answer[side]]["system"] for side in ("left", "right")}
        if set(sides.values()) == {first, second}:
            clip = media[answer["left"]]["clip"]
            votes.setdefault(clip, Counter())[sides.get(answer["choice"], "")] += 1
    every: Counter[str] = sum(votes.values(), Counter())
    wins, losses, ties = every[first], every[second], every[""]
    total = wins + losses + ties
    shared = [one for one in votes.values() if one.total() > 1]
    agreed = sum(max(one.values()) for one in shared)
    return PairResult(
        first,
        second,
        wins,
        losses,
        ties,
        rate=(wins + ties / 2) / total if total else math.nan,
        interval=wilson_interval(wins + ties / 2, total),
        agreement=agreed / sum(one.total() for one in shared) if shared else math.nan,
    )


def _wins(systems: Sequence[str], trials: Trials, media: Media) -> torch.Tensor:
    """(K, K) wins of rows over columns; a tie is half a win for both."""
    place = {name: number for number, name in enumerate(systems)}
    wins = torch.zeros(len(systems), len(systems), dtype=torch.float64)
    for answer in itertools.chain.from_iterable(trials):
        left, right = (place[media[answer[side]]["system"]] for side in ("left", "right"))
        share = {"left": 1.0, "right": 0.0, "none": 0.5}[answer["choice"]]
        wins[left, right] += share
        wins[right, left] += 1 - share
    return wins


def _strengths(systems: Sequence[str], trials: Trials, media: Media) -> dict[str, float]:
    return dict(zip(systems, bradley_terry(_wins(systems, trials, media)).tolist(), strict=True))


def _strength_intervals(
    systems: Sequence[str], trials: Trials, media: Media
) -> dict[str, Interval]:
    """Percentile bootstrap over participants, whose answers are drawn together."""
    if len(trials) < _FEWEST_PEOPLE:
        return {}
    own = torch.stack([_wins(systems, [one], media) for one in trials])
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(len(trials), (_REPLICATES, len(trials)), generator=generator)
    ends = central_quantiles(torch.stack([bradley_terry(own[rows].sum(0)) for rows in drawn]))
    method = f"percentile bootstrap over participants, {_REPLICATES} replicates"
    return {
        name: Interval(low, high, LEVEL, method)
        for name, low, high in zip(systems, *ends.tolist(), strict=True)
    }
