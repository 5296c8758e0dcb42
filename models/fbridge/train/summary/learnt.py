"""What a run has learnt, in words: from its scores on held-out clips and its training loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fbridge.train.request import Command

WORTH = 0.05
"""Share of the repeated picture's error that a prior must remove to be worth using."""
FALL = 0.05
"""Share by which the held-out loss must fall for anything to be called learnt."""
USED = 1.05
"""How many times as high another clip's picture must make the loss for the picture to be used."""

Row = Mapping[str, float]


@dataclass(frozen=True)
class Learnt:
    """What a run has learnt.

    Attributes:
        lines: sentences, the verdict first.
        worth: whether its result is better than the repeated picture.
    """

    lines: tuple[str, ...]
    worth: bool


def describe_learnt(command: Command, rows: Sequence[Row]) -> Learnt:
    """What the rows of a run's metrics.csv say.

    Args:
        command: of the run.
        rows: those with "held_out" are of validations, those with "loss" of training.
    """
    held_out = [row for row in rows if "held_out" in row]
    if not held_out:
        unknown = "what it has learnt is not known: there was no validation on held-out clips"
        return Learnt((unknown, *_training_loss(rows)), worth=False)
    first, last = held_out[0], held_out[-1]
    if command == "train-prior":  # it begins as the repeated picture, so it uses the picture
        return Learnt((_on_prior(last), *_loss(first, last)), last["gain"] >= WORTH)
    if "first_state" in last:
        return _on_student(first, last)
    verdict, worth = _on_bridge(first, last)
    return Learnt((verdict, *_loss(first, last), *_picture(last)), worth)


def _on_prior(scores: Row) -> str:
    gain = scores["gain"]
    text = (
        f"on held-out clips the prior takes away {100 * gain:.1f} % of the repeated picture's "
        "squared error in latents"
        if gain > 0
        else f"on held-out clips the prior's squared error in latents is {100 * -gain:.1f} % above "
        "the repeated picture's"
    )
    if "psnr_prior" in scores and "psnr_repeated" in scores:
        text += f" and {scores['psnr_prior'] - scores['psnr_repeated']:+.2f} dB in pixels"
    if gain >= WORTH:
        return f"{text}: worth starting from"
    return f"{text}: not worth using; train longer, or start from the repeated picture"


def _on_bridge(first: Row, last: Row) -> tuple[str, bool]:
    fell = last["held_out"] <= (1 - FALL) * first["held_out"]
    if "psnr_generated" not in last:
        text = "the loss on held-out clips has fallen" if fell else _NOTHING
        return text, fell
    own, still = last["psnr_generated"], last["psnr_repeated"]
    more = own - still
    values = f"PSNR {own:.1f} dB, and of the repeated picture {still:.1f} dB"
    others = []
    if "psnr_generated" in first and first["step"] < last["step"]:
        others.append(f"{_when(first)} {first['psnr_generated']:.1f} dB")
    if abs(last.get("psnr_prior", still) - still) > 0.05:  # it does not start from that picture
        others.append(f"the prior alone {last['psnr_prior']:.1f} dB")
    values += f" ({'; '.join([*others, 'higher is better'])})"
    if more > 0:
        text = "on held-out clips its videos are closer to the real ones than a still picture is"
        return f"{text}: {values}", True
    text = "its videos are not yet closer to the real ones than a still picture is"
    return f"{text if fell else _NOTHING}: {values}", False


def _on_student(first: Row, last: Row) -> Learnt:
    """How near its answers are to its teacher's; PSNR beside, which one draw of many may lack."""
    fell = last["held_out"] <= (1 - FALL) * first["held_out"]
    lines = [
        "on held-out clips it answers more like its teacher than before training"
        if fell
        else _NOTHING
    ]
    places = (("held_out", "its teacher's paths"), ("first_state", "their first states"))
    for name, text in places:
        was = f", and was {first[name]:.3g} {_when(first)}" if first["step"] < last["step"] else ""
        lines.append(f"the squared error of its answers over {text} is {last[name]:.3g}{was}")
    if "psnr_generated" in last and "psnr_teacher" in last:
        own, teacher, still = (last[f"psnr_{who}"] for who in ("generated", "teacher", "repeated"))
        lines.append(
            f"PSNR of its videos {own:.1f} dB, of its teacher's {teacher:.1f} dB and of the "
            f"repeated picture {still:.1f} dB (higher is better)"
        )
        return Learnt(tuple(lines), fell and own > still)
    return Learnt(tuple(lines), fell)


_NOTHING = "on held-out clips it has learnt nothing yet that shows"


def _loss(first: Row, last: Row) -> list[str]:
    now = last["held_out"]
    if first["step"] == last["step"] or first["held_out"] <= 0:
        return [f"the loss on held-out clips is {now:.3g}"]
    share = 1 - now / first["held_out"]
    change = f"{100 * abs(share):.0f} % {'less' if share >= 0 else 'more'}"
    return [
        f"the loss on held-out clips was {first['held_out']:.3g} {_when(first)} and is {now:.3g}, "
        f"{change}"
    ]


def _picture(last: Row) -> list[str]:
    if "another_picture" not in last:
        return []
    times = last["another_picture"] / max(1e-12, last["held_out"])
    used = "it uses the picture" if times >= USED else "it hardly uses the picture"
    return [f"{used}: with another clip's picture the loss is {times:.2f} times as high"]


def _when(first: Row) -> str:
    return f"at step {first['step']:.0f}" if first["step"] else "before training"


def _training_loss(rows: Sequence[Row]) -> list[str]:
    """Means over the first and the last tenth of the reports."""
    losses = [row["loss"] for row in rows if "loss" in row]
    if len(losses) < 2:
        return []
    part = -(-len(losses) // 10)
    begin, end = (sum(held) / part for held in (losses[:part], losses[-part:]))
    return [f"the training loss was {begin:.3g} at the start and is {end:.3g} at the end"]
