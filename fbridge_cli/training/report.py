"""What a run tells: a live view where there is a terminal, else lines; all of it as JSON."""

from __future__ import annotations

import math
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from fbridge.errors import DependencyError
from fbridge.files.atomic import shown
from fbridge.train.events import Begun, Ended, Event, Saved, Stepped, Validated, Warned
from fbridge_cli.progress import TrainingView
from fbridge_cli.ui import Ui

if TYPE_CHECKING:
    from fbridge.train.build.dry_run import StepCost
    from fbridge.train.build.session import Session

LINE_EVERY = 10.0
"""Seconds between two lines of a log."""
WORTH = 0.05
"""Share of the repeated picture's error that a prior must take away to be called worth using."""


class Report:
    """Tells one run.

    Args:
        session: of it.
        ui: mute, but for the first process.
        way_on: the command line that goes on with it.
    """

    def __init__(self, session: Session, ui: Ui, way_on: str) -> None:
        self._session = session
        self._ui = ui
        self._way_on = way_on
        self._stack = ExitStack()
        self._view: TrainingView | None = None
        self._said = -math.inf
        self._steps = session.config.train.steps
        self._first: Validated | None = None
        self._last: Validated | None = None
        self._stepped: Stepped | None = None
        self._saved: Saved | None = None
        self._whole: int | None = None
        self._result: Path | None = None

    def __enter__(self) -> Report:
        if not self._ui.machine:
            self._view = self._stack.enter_context(self._ui.training(self._steps))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()
        if isinstance(error, DependencyError) and self._whole is not None:
            good = shown(self._session.run / f"checkpoint-{self._whole}")
            self._ui.note(f"{good} is whole; once there is room, to go on: {self._way_on}")
        if self._ui.machine:
            self._ui.json(self.tree())

    def tell(self, event: Event) -> None:
        """Put one event into words."""
        match event:
            case Begun():
                self._begun(event)
            case Stepped():
                self._stepped = event
                self._step(event)
            case Validated():
                self._first = self._first or event
                self._last = event
                self._validated(event)
            case Saved():
                self._saved, self._whole = event, event.step
                if self._view is not None:
                    self._view.saved(event.step)
            case Warned():
                self._ui.warn(event.text)
            case Ended():
                self._result = event.result
                if not event.stopped:
                    self._stack.close()
                    self._ended(event)

    def stopped(self, event: Ended) -> str:
        """The line of a run that was asked to stop."""
        run = self._session.run
        if event.step == 0:
            return f"interrupted before the first step; to begin again: {self._way_on}"
        return (
            f"interrupted at step {event.step} of {self._steps}; saved "
            f"{shown(run / f'checkpoint-{event.step}')}; to go on: {self._way_on}"
        )

    def tree(self) -> dict[str, Any]:
        """All of it as JSON values."""
        last = self._last
        return {
            "run": shown(self._session.run),
            "step": 0 if self._stepped is None else self._stepped.step,
            "steps": self._steps,
            "loss": None if self._stepped is None else self._stepped.loss,
            "validation": None if last is None else {"step": last.step, **last.scores},
            "first_validation": None if self._first is None else dict(self._first.scores),
            "checkpoint": None if self._saved is None else shown(self._saved.path),
            "result": None if self._result is None else shown(self._result),
            "verdict": verdict(last) if last is not None and "gain" in last.scores else None,
        }

    def _begun(self, event: Begun) -> None:
        for note in event.notes:
            self._ui.note(note)
        if event.resumed is not None:
            self._whole = event.step
            self._ui.note(f"going on from {shown(event.resumed)}")
        if self._view is not None:
            self._view.begin(event.step)

    def _step(self, event: Stepped) -> None:
        if self._view is not None:
            self._view.step(event)
        now = time.monotonic()
        moving = self._view is not None and self._view.moving
        if not moving and now - self._said >= LINE_EVERY:
            self._said = now
            self._ui.note(step_line(event, self._steps))

    def _validated(self, event: Validated) -> None:
        if self._view is not None:
            self._view.validated(event)
        self._ui.note(validation_line(event))

    def _ended(self, event: Ended) -> None:
        run = self._session.run
        if self._last is not None and self._last.files:
            self._ui.result(f"held-out clips: {shown(self._last.files[0])}")
        if self._last is not None and "gain" in self._last.scores:
            self._ui.result(verdict(self._last))
        if event.result is not None:
            self._ui.result(f"{shown(event.result)}: the result of {event.step} steps")
            self._ui.note(self._next(run))

    def _next(self, run: Path) -> str:
        if self._session.command == "train-prior":
            return f"to use it: fbridge finetune --base ... --data ... --prior {shown(run)}"
        return f"to use it: fbridge generate PICTURE -p PROMPT --model {shown(run)}"


def step_line(event: Stepped, steps: int) -> str:
    """One line of a log."""
    left = (steps - event.step) * event.seconds
    return (
        f"step {event.step}/{steps}  loss {event.loss:.4f}  lr {event.lr:.3g}  "
        f"{event.clips:.1f} clips/s  {duration(left)} left  {size(event.memory)}"
    )


def validation_line(event: Validated) -> str:
    """The held-out scores in one line: the loss, its bands in time, what the picture is worth."""
    scores = event.scores
    line = f"step {event.step}  held-out loss {scores['held_out']:.4f}"
    bands = [value for name, value in scores.items() if name.startswith("held_out_")]
    if bands:
        line += f" (from data to prior: {' '.join(f'{value:.3f}' for value in bands)})"
    if "another_picture" in scores:
        other = scores["another_picture"] / max(1e-12, scores["held_out"])
        line += f", with another picture {other:.3g} times"
    if "gain" in scores:
        line += f", gain over the repeated picture {100 * scores['gain']:.1f} %"
    pixels = [
        f"{name.removeprefix('psnr_')} {value:.2f}"
        for name, value in scores.items()
        if name.startswith("psnr_")
    ]
    return line + (f", PSNR in dB: {', '.join(pixels)}" if pixels else "")


def verdict(event: Validated) -> str:
    """Whether a prior is worth using, and why."""
    scores = event.scores
    gain = scores["gain"]
    told = (
        f"on held-out clips the prior takes away {100 * gain:.1f} % of the repeated picture's "
        "squared error in latents"
        if gain > 0
        else f"on held-out clips the prior's squared error in latents is {100 * -gain:.1f} % above "
        "the repeated picture's"
    )
    if "psnr_prior" in scores and "psnr_repeated" in scores:
        told += f" and {scores['psnr_prior'] - scores['psnr_repeated']:+.2f} dB in pixels"
    if gain >= WORTH:
        return f"{told}: worth starting from"
    return f"{told}: not worth using; train longer, or start from the repeated picture"


def needs_lines(needs: StepCost, facts: dict[str, Any]) -> list[str]:
    """A dry run's answer, as comments behind the TOML."""
    latents = "x".join(map(str, needs.latents))
    data, versions = facts["data"], facts["versions"]
    told = [
        f"data: {data['training']} clips to train on, {data['held_out']} held out; latents "
        f"{latents}; sha256 {data['sha256']}",
        f"versions: {', '.join(f'{name} {number}' for name, number in versions.items())}"
        + (f"; commit {facts['git']}" if facts["git"] else ""),
        f"parameters: {needs.parameters:,}, of which {needs.trained:,} are trained",
        f"memory: {size(needs.memory)} at the peak of one probed step",
        f"time: {needs.seconds:.3g} s a step, {duration(needs.total)} in all without validation",
    ]
    return [f"# {line}" for line in told]


def duration(seconds: float) -> str:
    """Hours, minutes and seconds as people write them."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def size(number: int) -> str:
    """Bytes in the unit that suits them."""
    return f"{number / 2**30:.2f} GiB" if number >= 2**30 else f"{number / 2**20:.0f} MiB"
