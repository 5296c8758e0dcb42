"""What a run says that it has learnt, by the rows of its metrics.csv."""

from __future__ import annotations

from typing import Any

import pytest

from fbridge.train.request import Command
from fbridge.train.summary.learnt import describe_learnt


def row(step: int, held_out: float, other: float = 1.0, **psnr: float) -> dict[str, float]:
    pixels = {f"psnr_{name}": value for name, value in psnr.items()}
    return {"step": step, "held_out": held_out, "another_picture": other * held_out, **pixels}


def test_a_good_bridge() -> None:
    before = row(0, 0.5, repeated=20.0, prior=20.0, generated=15.0)
    rows = [before, {"step": 5, "loss": 0.4}, row(9, 0.2, 1.8, repeated=20.0, prior=20.01,
                                                  generated=23.456)]  # fmt: skip
    found = describe_learnt("finetune", rows)
    assert found.worth
    assert found.lines == (
        "on held-out clips its videos are closer to the real ones than a still picture is: PSNR "
        "23.5 dB, and of the repeated picture 20.0 dB (before training 15.0 dB; higher is better)",
        "the loss on held-out clips was 0.5 before training and is 0.2, 60 % less",
        "it uses the picture: with another clip's picture the loss is 1.80 times as high",
    )


BRIDGES = [
    # loss, then PSNR: the verdict, and whether it is worth using
    (0.4, 19.0, "its videos are not yet closer to the real ones than a still picture", False),
    (0.49, 19.0, "on held-out clips it has learnt nothing yet that shows: PSNR 19.0 dB", False),
    (0.6, 19.0, "on held-out clips it has learnt nothing yet that shows: PSNR 19.0 dB", False),
    (0.49, 20.1, "on held-out clips its videos are closer to the real ones than a still", True),
]


@pytest.mark.parametrize(("loss", "psnr", "verdict", "worth"), BRIDGES)
def test_bridges_that_are_not_better(loss: float, psnr: float, verdict: str, worth: bool) -> None:
    rows = [row(0, 0.5, repeated=20.0, generated=15.0), row(9, loss, repeated=20.0, generated=psnr)]
    found = describe_learnt("finetune", rows)
    assert found.lines[0].startswith(verdict)
    assert found.worth is worth
    assert found.lines[2].startswith("it hardly uses the picture: ")
    assert ("% more" in found.lines[1]) is (loss > 0.5)


def test_a_bridge_from_a_prior_and_one_whose_beginning_is_lost() -> None:
    last = row(9, 0.2, repeated=20.0, prior=22.0, generated=23.0)
    (verdict, loss, _) = describe_learnt("finetune", [last]).lines
    assert "(the prior alone 22.0 dB; higher is better)" in verdict
    assert loss == "the loss on held-out clips is 0.2"
    lines = describe_learnt("finetune", [row(4, 0.4, repeated=20.0, generated=18.0), last]).lines
    assert "(at step 4 18.0 dB; the prior alone" in lines[0]
    assert lines[1].startswith("the loss on held-out clips was 0.4 at step 4 and is 0.2")


def test_without_pictures_the_loss_decides() -> None:
    worse, better = ([row(0, 0.5), row(9, loss)] for loss in (0.49, 0.4))
    assert describe_learnt("finetune", worse).worth is False
    assert describe_learnt("finetune", better).worth is True
    assert describe_learnt("finetune", better).lines[0] == "the loss on held-out clips has fallen"


@pytest.mark.parametrize("command", ["train-prior", "finetune"])
def test_without_held_out_clips_nothing_is_claimed(command: Command) -> None:
    rows: list[dict[str, Any]] = [{"step": n, "loss": 1.0 / n} for n in range(1, 21)]
    found = describe_learnt(command, rows)
    assert not found.worth
    assert found.lines == (
        "what it has learnt is not known: there was no validation on held-out clips",
        "the training loss was 0.75 at the start and is 0.0513 at the end",
    )
    assert len(describe_learnt(command, rows[:1]).lines) == 1


def test_the_verdict_on_a_prior() -> None:
    scores = row(9, 0.3) | {"gain": 0.25, "psnr_prior": 22.0, "psnr_repeated": 21.0}
    found = describe_learnt("train-prior", [row(0, 0.4), scores])
    assert found.worth
    assert found.lines == (
        "on held-out clips the prior takes away 25.0 % of the repeated picture's squared error in "
        "latents and +1.00 dB in pixels: worth starting from",
        "the loss on held-out clips was 0.4 before training and is 0.3, 25 % less",
    )
    for gain, words in ((-0.1, "10.0 % above the repeated picture's"), (0.04, "takes away 4.0 %")):
        found = describe_learnt("train-prior", [row(9, 0.3) | {"gain": gain}])
        assert not found.worth
        assert words in found.lines[0]
        assert found.lines[0].endswith("not worth using; train longer, or start from the repeated "
                                       "picture")  # fmt: skip


def student(step: int, held_out: float, **psnr: float) -> dict[str, float]:
    pixels = {f"psnr_{name}": value for name, value in psnr.items()}
    return {"step": step, "held_out": held_out, "first_state": 3 * held_out, **pixels}


STUDENTS = [
    # loss, PSNR: the verdict, and whether it is worth using
    (0.05, 26.9, "on held-out clips it answers more like its teacher than before training", True),
    (0.05, 19.0, "on held-out clips it answers more like its teacher than before training", False),
    (0.099, 26.0, "on held-out clips it has learnt nothing yet that shows", False),
]


@pytest.mark.parametrize(("loss", "psnr", "verdict", "worth"), STUDENTS)
def test_students(loss: float, psnr: float, verdict: str, worth: bool) -> None:
    rows = [student(0, 0.1), student(9, loss, repeated=20.0, teacher=27.0, generated=psnr)]
    found = describe_learnt("finetune", rows)
    assert found.worth is worth
    assert found.lines == (
        verdict,
        f"the squared error of its answers over its teacher's paths is {loss:.3g}, and was 0.1 "
        "before training",
        f"the squared error of its answers over their first states is {3 * loss:.3g}, and was 0.3 "
        "before training",
        f"PSNR of its videos {psnr:.1f} dB, of its teacher's 27.0 dB and of the repeated picture "
        "20.0 dB (higher is better)",
    )


def test_a_student_without_videos() -> None:
    fell = describe_learnt("finetune", [student(0, 0.1), student(9, 0.05)])
    assert fell.worth
    assert fell.lines[0].startswith("on held-out clips it answers more like its teacher")
    assert len(fell.lines) == 3
    assert not describe_learnt("finetune", [student(0, 0.1), student(9, 0.1)]).worth
