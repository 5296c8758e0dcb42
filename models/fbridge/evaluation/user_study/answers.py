"""Analyse the answers of a user study: preference rates, Bradley-Terry strengths, agreement."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from fbridge.errors import DataError
from fbridge.evaluation.intervals import LEVEL, central_quantiles, wilson_interval
from fbridge.evaluation.result import Interval
from fbridge.evaluation.user_study.page import FORMAT

_REPLICATES = 500
_FEWEST_PEOPLE = 5
_CHOICES = ("left", "right", "none")
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
    facts = _parse(*key)
    checks, media = facts["checks"], facts["media"]
    people: dict[str, list[dict[str, Any]]] = {}
    for name, text in answers:
        participant, own = _answers(name, _parse(name, text), facts, key[0])
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


def _parse(name: str, text: str) -> dict[str, Any]:
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        raise DataError(f"{name}: is no JSON; take the file as the page saved it") from None
    if not isinstance(tree, dict) or tree.get("format") != FORMAT or "study" not in tree:
        raise DataError(f"{name}: is no file of a study of this fbridge")
    return tree


def _answers(
    name: str, tree: dict[str, Any], key: dict[str, Any], key_name: str
) -> tuple[str, list[dict[str, Any]]]:
    """The participant and the checked answers of a file."""
    if tree["study"] != key["study"]:
        raise DataError(f"{name}: belongs to another study than {key_name}")
    try:
        for answer in tree["answers"]:
            known = answer["choice"] in _CHOICES and isinstance(answer["trial"], str)
            sides = (answer["left"], answer["right"])
            inside = answer["trial"] in key["checks"] or all(side in key["media"] for side in sides)
            if not (known and inside):
                raise DataError(f"{name}: has an answer that this study never asked for")
            answer["none"] = ""
        return str(tree["participant"]), tree["answers"]
    except (KeyError, TypeError):
        raise DataError(f"{name}: is damaged; take the file as the page saved it") from None


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
