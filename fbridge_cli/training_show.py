"""What a training run prints: a live view on a terminal, else lines; or all of it as JSON."""

from __future__ import annotations

import math
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from fbridge.config import to_toml
from fbridge.errors import DependencyError
from fbridge.files.atomic import shown
from fbridge.train.events import (
    Begun,
    Ended,
    Event,
    Measured,
    Ready,
    Saved,
    Stepped,
    Summary,
    Validated,
    Warned,
)
from fbridge.train.request import DEMO, TrainRequest
from fbridge_cli.progress import TrainingView
from fbridge_cli.ui import Ui

LINE_EVERY = 10.0
"""Seconds between two lines of a log."""


def show_request(request: TrainRequest, ui: Ui) -> None:
    """Print configuration, base and data, before anything slow begins."""
    config = request.config
    source = "built-in defaults"
    if request.file is not None:
        source = request.place.told(shown(request.file))
    ui.note(f"configuration: {source}" + (f", recipe {config.recipe}" if config.recipe else ""))
    if request.command == "finetune":
        ui.note(f"base: {config.base}")
    data = "the built-in demo clips" if config.data == DEMO else config.data
    ui.note(f"data: {data}; run: {request.place.shown()}")


def show_dry_run(measured: Measured, request: TrainRequest, ui: Ui) -> None:
    """Print the configuration, and as comments behind it what a run needs."""
    facts, cost = measured.facts, measured.cost
    if ui.machine:
        tree = {"config": request.config.model_dump(mode="json"), "facts": facts}
        ui.json({**tree, "origin": dict(request.resolved.origin), "needs": cost})
        return
    data, versions = facts["data"], facts["versions"]
    ui.result(to_toml(request.config, comments=False).rstrip())
    for line in (
        f"data: {data['training']} clips to train on, {data['held_out']} held out; latents "
        f"{'x'.join(map(str, cost['latents']))}; sha256 {data['sha256']}",
        f"versions: {', '.join(f'{name} {number}' for name, number in versions.items())}"
        + (f"; commit {facts['git']}" if facts["git"] else ""),
        f"parameters: {cost['parameters']:,}, of which {cost['trained']:,} are trained",
        f"memory: {size(cost['memory'])} at the peak of one probed step",
        f"time: {cost['seconds']:.3g} s a step, {duration(cost['total'])} in all without "
        "validation",
    ):
        ui.result(f"# {line}")


class Report:
    """Prints the events of one run.

    Args:
        request: of the run.
        ui: mute in all processes but the first.
        command: the command line that resumes it.
    """

    def __init__(self, request: TrainRequest, ui: Ui, command: str) -> None:
        self._request, self._ui, self._command = request, ui, command
        self._shown = request.place.shown
        self._stack = ExitStack()
        self._view: TrainingView | None = None
        self._printed = -math.inf
        self._steps = request.config.train.steps
        self._first: Validated | None = None
        self._last: Validated | None = None
        self._stepped: Stepped | None = None
        self._saved: Saved | None = None
        self._whole: int | None = None
        self._result: Path | None = None
        self._summary: Summary | None = None

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
            good = self._shown(self._request.run / f"checkpoint-{self._whole}")
            self._ui.note(f"{good} is whole; once there is room, to go on: {self._command}")
        if self._ui.machine:
            self._ui.json(self._tree())

    def show(self, event: Event) -> None:
        """Print one event."""
        match event:
            case Ready(resumes=False) if self._request.resume:
                run = self._shown()
                self._ui.note(f"{run}: there is no checkpoint yet; beginning")
            case Begun():
                self._begun(event)
            case Stepped():
                self._stepped = event
                self._step(event)
            case Validated():
                self._validated(event)
            case Saved():
                self._saved, self._whole = event, event.step
                if self._view is not None:
                    self._view.saved(event.step)
            case Warned():
                self._ui.warn(event.text)
            case Ended():
                self._stack.close()
                self._ended(event)

    def stopped(self, event: Ended) -> str:
        """The line of a run that was asked to stop."""
        if event.step == 0:
            return f"interrupted before the first step; to begin again: {self._command}"
        saved = self._shown(self._request.run / f"checkpoint-{event.step}")
        page = (event.summary or Summary()).report
        report = "" if page is None else f" and {self._shown(page)}"
        return (
            f"interrupted at step {event.step} of {self._steps}; saved {saved}{report}; to go on: "
            f"{self._command}"
        )

    def _tree(self) -> dict[str, Any]:
        last = self._last
        return {
            "run": self._shown(),
            "step": 0 if self._stepped is None else self._stepped.step,
            "steps": self._steps,
            "loss": None if self._stepped is None else self._stepped.loss,
            "validation": None if last is None else {"step": last.step, **last.scores},
            "first_validation": None if self._first is None else dict(self._first.scores),
            "checkpoint": None if self._saved is None else self._shown(self._saved.path),
            "result": None if self._result is None else self._shown(self._result),
            **self._told(last),
        }

    def _told(self, last: Validated | None) -> dict[str, Any]:
        """What the run has learnt, and where its files and the next command lines are."""
        found = self._summary or Summary()
        judged = last is not None and "gain" in last.scores and found.learnt
        return {
            "learnt": list(found.learnt),
            "verdict": found.learnt[0] if judged else None,
            "sheet": None if found.sheet is None else self._shown(found.sheet),
            "report": None if found.report is None else self._shown(found.report),
            "next": [{"purpose": purpose, "line": line} for purpose, line in found.lines],
        }

    def _begun(self, event: Begun) -> None:
        for note in event.notes:
            self._ui.note(note)
        if event.resumed is not None:
            self._whole = event.step
            self._ui.note(f"going on from {self._shown(event.resumed)}")
        if self._view is not None:
            self._view.begin(event.step)

    def _step(self, event: Stepped) -> None:
        if self._view is not None:
            self._view.step(event)
            if self._view.moving:
                return
        now = time.monotonic()
        if now - self._printed < LINE_EVERY:
            return
        self._printed = now
        left = duration((self._steps - event.step) * event.seconds)
        self._ui.note(
            f"step {event.step}/{self._steps}  loss {event.loss:.4f}  lr {event.lr:.3g}  "
            f"{event.clips:.1f} clips/s  {left} left  {size(event.memory)}"
        )

    def _validated(self, event: Validated) -> None:
        self._first = self._first or event
        self._last = event
        if self._view is not None:
            self._view.validated(event)
        self._ui.note(validation_line(event))

    def _ended(self, event: Ended) -> None:
        self._result, self._summary = event.result, event.summary
        if event.result is None:
            return
        found = event.summary or Summary()
        for sentence in found.learnt:
            self._ui.result(sentence)
        for name, path in (("held-out clips", found.sheet), ("report", found.report)):
            if path is not None:
                self._ui.result(f"{name}: {self._shown(path)}")
        self._ui.result(f"model: {self._shown(event.result)}, after {event.step} steps")
        for number, (purpose, line) in enumerate(found.lines):
            self._ui.result(f"{'' if number else 'next, '}{purpose}: {line}")


def validation_line(event: Validated) -> str:
    """The held-out scores in one line: the loss, its bands in time, another picture's, PSNR."""
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


def duration(seconds: float) -> str:
    """Seconds as hours, minutes and seconds."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def size(number: int) -> str:
    """Bytes in MiB or GiB."""
    return f"{number / 2**30:.2f} GiB" if number >= 2**30 else f"{number / 2**20:.0f} MiB"
