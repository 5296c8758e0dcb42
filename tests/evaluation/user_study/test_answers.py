"""What answers say: counts, intervals, strengths, and whose answers do not count."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch

from fbridge.errors import DataError
from fbridge.evaluation.user_study import analyse_study
from fbridge.evaluation.user_study.answers import bradley_terry

SYSTEMS = ("a", "b", "c")
KEY: dict[str, Any] = {
    "format": 1,
    "study": "s",
    "media": {
        f"{name}{clip}": {"system": name, "clip": str(clip)}
        for name in SYSTEMS
        for clip in range(9)
    },
    "checks": {"check": "a0"},
}


def answer(
    better: str, worse: str, clip: int, *, tie: bool = False, swap: bool = False
) -> dict[str, Any]:
    left, right = (
        (f"{worse}{clip}", f"{better}{clip}") if swap else (f"{better}{clip}", f"{worse}{clip}")
    )
    choice = "none" if tie else "right" if swap else "left"
    return {"trial": f"{better}{worse}{clip}", "left": left, "right": right, "choice": choice}


def person(name: str, answers: list[dict[str, Any]], **other: Any) -> tuple[str, str]:
    tree = {"format": 1, "study": "s", "participant": name, "answers": answers, **other}
    return f"{name}.json", json.dumps(tree)


def analysed(*people: tuple[str, str]) -> Any:
    return analyse_study(people, ("s-key.json", json.dumps(KEY)))


def test_wins_losses_and_ties() -> None:
    own = [answer("a", "b", clip, swap=clip % 2 == 0) for clip in range(8)]
    own += [answer("b", "a", 8), answer("a", "b", 8, tie=True)]
    pair = analysed(person("x", own)).pairs[0]
    assert (pair.first, pair.second, pair.wins, pair.losses, pair.ties) == ("a", "b", 8, 1, 1)
    assert pair.rate == pytest.approx(0.85)
    eight = analysed(person("x", [*own[:8], answer("b", "a", 8), answer("b", "a", 7)])).pairs[0]
    assert (eight.interval.low, eight.interval.high) == (
        pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4),
    )  # fmt: skip


def test_who_does_not_look_does_not_count() -> None:
    bad = {"trial": "check", "left": "a0", "right": "x0", "choice": "right"}
    good = {**bad, "choice": "left"}
    lazy = {**bad, "choice": "none"}
    own = [answer("a", "b", 1)]
    found = analysed(
        person("good", [*own, good]), person("bad", [*own, bad]), person("lazy", [*own, lazy])
    )
    assert (found.participants, found.inattentive) == (1, ("bad", "lazy"))
    assert found.pairs[0].wins == 1


def test_agreement_and_side_bias() -> None:
    one = [answer("a", "b", clip) for clip in range(4)]
    other = [answer("a", "b", clip) for clip in range(2)] + [answer("b", "a", n) for n in (2, 3)]
    found = analysed(person("one", one), person("other", other))
    assert found.pairs[0].agreement == pytest.approx((2 + 2 + 1 + 1) / 8)
    assert found.left == 1.0
    assert found.left_interval.low > 0.6
    assert math.isnan(analysed(person("one", one)).pairs[0].agreement)


def test_bradley_terry_of_known_strengths() -> None:
    wanted = torch.tensor([1.0, 0.0, -1.0], dtype=torch.float64)
    share = torch.sigmoid(wanted[:, None] - wanted)
    wins = 1e7 * (share - torch.diag(share.diagonal()))
    assert torch.allclose(bradley_terry(wins), wanted, atol=1e-5)
    cycle = torch.tensor([[0, 3, 1], [1, 0, 3], [3, 1, 0]])
    assert torch.allclose(bradley_terry(cycle), torch.zeros(3, dtype=torch.float64), atol=1e-9)
    alone = bradley_terry(torch.tensor([[0, 9], [0, 0]]))
    assert alone[0] > 1 > -1 > alone[1]
    assert alone.isfinite().all()


def test_three_systems_have_strengths() -> None:
    own = [answer("a", "b", n) for n in range(5)] + [answer("b", "c", n) for n in range(5)]
    own += [answer("a", "c", n) for n in range(5)] + [answer("c", "a", 5), answer("b", "a", 5)]
    found = analysed(*(person(f"p{n}", own) for n in range(5)))
    assert found.strengths["a"] > found.strengths["b"] > found.strengths["c"]
    assert sum(found.strengths.values()) == pytest.approx(0, abs=1e-9)
    assert found.strength_intervals["a"].low <= found.strengths["a"]
    assert json.dumps(found.to_json())
    assert analysed(*(person(f"p{n}", own) for n in range(4))).strength_intervals == {}


def test_what_is_no_answer_is_named() -> None:
    own = [answer("a", "b", 1)]
    for file, told in (
        (("x.json", "{"), "x.json: is no JSON"),
        (("x.json", "[]"), "x.json: is no file of a study"),
        (person("x", own, study="other"), "x.json: belongs to another study than s-key.json"),
        (person("x", own, format=2), "x.json: is no file of a study"),
        (person("x", [{**own[0], "choice": "up"}]), r"damaged \('answers.0.choice' is 'up' where"),
        (person("x", [{**own[0], "left": "z9"}]), "x.json: has an answer that this study never"),
        (person("x", [{**own[0], "right": "a1"}]), "x.json: has an answer that this study never"),
        (person("x", [{**own[0], "right": "b2"}]), "x.json: has an answer that this study never"),
        (person("x", own * 1000), "x.json: answers trial 'ab1' 1000 times"),
        (person("x", [{"trial": "t"}]), "x.json: is damaged"),
    ):
        with pytest.raises(DataError, match=told):
            analysed(file)
    with pytest.raises(DataError, match="participant x is there twice"):
        analysed(person("x", own), person("x", own))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"media": None}, "'media' is None where a valid dictionary is needed"),
        ({"checks": 5}, "'checks' is 5 where"),
        ({"media": {}, "checks": {"check": None}}, "'checks.check' is None where"),
        ({"study": ["a"]}, r"'study' is \['a'\] where a valid string is needed"),
        ({"media": {"a0": None}}, "'media.a0' is None where"),
        ({"media": {"a0": {"system": "a"}}}, "lacks 'media.a0.clip'"),
        ({"media": {"a0": {"system": True, "clip": "0"}}}, "'media.a0.system' is True where"),
    ],
)
def test_what_is_wrong_with_a_key_is_named(change: dict[str, Any], told: str) -> None:
    key = json.dumps({**KEY, **change})
    with pytest.raises(DataError, match=rf"s-key\.json: is damaged \({told}"):
        analyse_study([person("x", [answer("a", "b", 1)])], ("s-key.json", key))
