"""What the answers of a study say: who is preferred, how surely, and whether people agree."""

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
from fbridge.evaluation.intervals import LEVEL, wilson_interval
from fbridge.evaluation.result import Interval
from fbridge.evaluation.user_study.page import FORMAT

_REPLICATES = 500
_FEWEST_PEOPLE = 5
_CHOICES = ("left", "right", "none")


@dataclass(frozen=True)
class PairResult:
    """Two systems: how often the first one was preferred.

    Attributes:
        first, second: their names.
        wins, losses, ties: answers for the first, for the second, for neither.
        rate: wins and half of the ties, over all.
        interval: Wilson's, of that share.
        agreement: share of clips with two answers or more on which the majority is of one mind,
            weighted by answers; NaN without.
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
    """The outcome of a study.

    Attributes:
        participants: whose answers count.
        inattentive: who failed an attention check, and does not count.
        pairs: every two systems.
        strengths: Bradley-Terry's, their mean 0 on the scale of log-odds; of three systems or more.
        strength_intervals: of them, over participants; of five or more.
        left: share of answers for the left side among those for one of them; 0.5 is no bias.
        left_interval: of it.
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


@dataclass(frozen=True)
class _Person:
    name: str
    answers: list[dict[str, Any]]


def analyse_study(answers: Sequence[tuple[str, str]], key: tuple[str, str]) -> StudyResult:
    """Count the answers.

    Args:
        answers: name and text of each participant's file.
        key: likewise, the file that `write_study` put beside the page.

    Raises:
        DataError: a file is no such thing or of another study, or somebody's is there twice.
    """
    told = _tree(*key)
    people = [_person(name, _tree(name, text), told, key[0]) for name, text in answers]
    twice = [name for name, times in Counter(person.name for person in people).items() if times > 1]
    if twice:
        raise DataError(f"participant {twice[0]} is there twice; take one of the files out")
    checks = told["checks"]
    failed = {
        person.name
        for person in people
        for answer in person.answers
        if answer["trial"] in checks and answer[answer["choice"]] != checks[answer["trial"]]
    }
    counted = [person for person in people if person.name not in failed]
    media = told["media"]
    systems = sorted({one["system"] for one in media.values()})
    real = [[a for a in p.answers if a["trial"] not in checks] for p in counted]
    sides = Counter(answer["choice"] for own in real for answer in own)
    chosen = sides["left"] + sides["right"]
    several = len(systems) > 2 and bool(counted)
    return StudyResult(
        participants=len(counted),
        inattentive=tuple(sorted(failed)),
        pairs=tuple(_pair(a, b, real, media) for a, b in itertools.combinations(systems, 2)),
        strengths=_strengths(systems, real, media) if several else {},
        strength_intervals=_spread(systems, real, media) if several else {},
        left=sides["left"] / chosen if chosen else math.nan,
        left_interval=wilson_interval(sides["left"], chosen),
    )


def bradley_terry(wins: torch.Tensor) -> torch.Tensor:
    """Log strengths (K,), mean 0, of wins (K, K) of rows over columns (Hunter 2004).

    A tenth of a win either way is added to every pair that met, so that nobody is infinitely good.
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


def _tree(name: str, text: str) -> dict[str, Any]:
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        raise DataError(f"{name}: is no JSON; take the file as the page saved it") from None
    if not isinstance(tree, dict) or tree.get("format") != FORMAT or "study" not in tree:
        raise DataError(f"{name}: is no file of a study of this fbridge")
    return tree


def _person(name: str, tree: dict[str, Any], key: dict[str, Any], key_name: str) -> _Person:
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
        return _Person(str(tree["participant"]), tree["answers"])
    except (KeyError, TypeError):
        raise DataError(f"{name}: is damaged; take the file as the page saved it") from None


def _pair(
    first: str, second: str, real: list[list[dict[str, Any]]], media: dict[str, dict[str, str]]
) -> PairResult:
    votes: dict[str, Counter[str]] = {}
    for answer in itertools.chain.from_iterable(real):
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


def _wins(
    systems: Sequence[str], real: list[list[dict[str, Any]]], media: dict[str, dict[str, str]]
) -> torch.Tensor:
    """(K, K) wins of rows over columns; a tie is half a win for both."""
    place = {name: number for number, name in enumerate(systems)}
    wins = torch.zeros(len(systems), len(systems), dtype=torch.float64)
    for answer in itertools.chain.from_iterable(real):
        left, right = (place[media[answer[side]]["system"]] for side in ("left", "right"))
        share = {"left": 1.0, "right": 0.0, "none": 0.5}[answer["choice"]]
        wins[left, right] += share
        wins[right, left] += 1 - share
    return wins


def _strengths(
    systems: Sequence[str], real: list[list[dict[str, Any]]], media: dict[str, dict[str, str]]
) -> dict[str, float]:
    found = bradley_terry(_wins(systems, real, media)).tolist()
    return dict(zip(systems, found, strict=True))


def _spread(
    systems: Sequence[str], real: list[list[dict[str, Any]]], media: dict[str, dict[str, str]]
) -> dict[str, Interval]:
    """Percentile bootstrap over participants: the answers of one person go together."""
    if len(real) < _FEWEST_PEOPLE:
        return {}
    own = torch.stack([_wins(systems, [one], media) for one in real])
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(len(real), (_REPLICATES, len(real)), generator=generator)
    found = torch.stack([bradley_terry(own[rows].sum(0)) for rows in drawn])
    edge = (1 - LEVEL) / 2
    ends = torch.quantile(found, torch.tensor([edge, 1 - edge], dtype=torch.float64), dim=0)
    method = f"percentile bootstrap over participants, {_REPLICATES} replicates"
    return {
        name: Interval(float(ends[0, n]), float(ends[1, n]), LEVEL, method)
        for n, name in enumerate(systems)
    }
