"""RUN/report.html: what a run has learnt, its curves and held-out clips, in one file.

It is written anew at every validation, so that a run that was killed has one too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from fbridge.config.write import to_toml
from fbridge.data.video_files import read_video
from fbridge.errors import DataError
from fbridge.files.atomic import write_text
from fbridge.pages import clip_figures, page
from fbridge.train.events import Summary, Validated
from fbridge.train.run_files import CURVES, read_curves
from fbridge.train.setup.session import Session
from fbridge.train.summary import page as parts
from fbridge.train.summary.example import write_example
from fbridge.train.summary.learnt import describe_learnt
from fbridge.train.summary.next_lines import line_of_stopped, lines_after

REPORT = "report.html"
MOST = 8
"""Largest number of clips in a page."""

State: TypeAlias = Literal["training", "stopped", "finished"]


class RunReport:
    """Writes the page of a run, in its first process; making it writes RUN/example.png.

    Args:
        session: of the run.
        facts: of its run.json.

    Raises:
        FBridgeError: see `write_example`.
    """

    def __init__(self, session: Session, facts: Mapping[str, Any]) -> None:
        self._session = session
        self._facts = facts
        self._lines = lines_after(session, write_example(session))
        self._sheet: Path | None = None
        self._clips = ""

    def validated(self, event: Validated) -> Summary:
        """Take the clips of a validation, and `write` the page.

        Raises:
            DependencyError: it cannot be written.
        """
        self._sheet = event.files[0] if event.files else None
        self._clips = "".join(_clips(event, self._session))
        return self.write(event.step, "training")

    def write(self, step: int, state: State) -> Summary:
        """Write the page; returns what it says.

        Raises:
            DependencyError: it cannot be written.
        """
        session = self._session
        rows = read_curves(session.run / CURVES)
        learnt = describe_learnt(session.command, rows)
        lines = self._lines if state == "finished" else (line_of_stopped(session),)
        if state == "finished" and not learnt.worth:  # then longer training comes first
            lines = (lines[1], lines[0], *lines[2:])
        path, validation = session.run / REPORT, session.config.validation
        scored = min(validation.rows, len(session.material.parts.held_out))
        body = [
            *_head(session, step, state),
            *parts.sentences(learnt.lines),
            *parts.comparison(
                session.command, rows, scored=scored, drawn=min(validation.clips, scored)
            ),
            *parts.charts(rows),
            self._clips,
            *parts.how_to_use(lines),
            *parts.settings(self._facts, to_toml(session.config, comments=False)),
        ]
        write_text(path, page(f"{session.place.shown()}: {session.command}", body))
        return Summary(learnt.lines, self._sheet, path, lines)


def _head(session: Session, step: int, state: State) -> Iterator[str]:
    base, steps = session.config.base, session.config.train.steps
    what = "a neural prior" if session.command == "train-prior" else f"a bridge from {base}"
    if session.config.bridge.objective == "diffusion" and session.command == "finetune":
        what = f"the diffusion baseline of a bridge, from {base}"
    elif session.model.teacher is not None:
        what = f"a student in few steps of {base}"
    yield f"<h1>{escape(session.place.shown())}</h1>"
    yield f'<p class="lead">{escape(what)}: {step} of {steps} steps.</p>'
    if state == "training":
        yield '<p class="warning">Written while it was training.</p>'
    elif state == "stopped":
        yield f'<p class="warning">It was stopped at step {step}.</p>'


def _clips(event: Validated, session: Session) -> Iterator[str]:
    """The clips of a validation, each with its videos side by side."""
    videos = event.files[1:]
    if not videos:
        return
    sheet = event.files[0].relative_to(session.run).as_posix()
    yield "<h2>Held-out clips</h2>"
    yield f'<p class="small">Space stops all. As frames: <a href="{sheet}">{sheet}</a>.'
    more = len(videos) - MOST
    yield f" {more} more are beside it.</p>" if more > 0 else "</p>"
    repeated = (session.model.about.get("start_from") or {}).get("kind") == "repeat"
    fps = session.model.about.get("fps", session.material.shape.fps)
    for number, (path, caption) in enumerate(zip(videos[:MOST], event.captions, strict=False), 1):
        found = _columns(path, event.columns)
        if repeated:  # the picture is its prior
            found.pop("prior", None)
        if "generated" in found and event.step:
            before = _columns(path.parents[1] / "step-0" / path.name, event.columns)
            found = _with_untrained(found, before.get("generated"), event.step)
        if found:
            figures = clip_figures(found.items(), fps, f"clip {number}")
            yield f'<section class="clip"><h3>{escape(caption) or "(no caption)"}</h3>{figures}'
            yield "</section>"


def _columns(path: Path, names: tuple[str, ...]) -> dict[str, Tensor]:
    """The videos (F, H, W, 3) side by side in a file, by name; of the picture its one frame."""
    try:
        frames = read_video(path).frames
    except DataError:
        return {}
    width = frames.shape[2] // len(names)
    cut = [frames[:, :, n * width : (n + 1) * width] for n in range(len(names))]
    held = {
        name: torch.from_numpy(np.ascontiguousarray(v)) for name, v in zip(names, cut, strict=True)
    }
    return {name: video[:1] if name == "picture" else video for name, video in held.items()}


def _with_untrained(
    found: dict[str, Tensor], before: Tensor | None, step: int
) -> dict[str, Tensor]:
    named: dict[str, Tensor] = {}
    for name, video in found.items():
        if name == "generated" and before is not None:
            named["before training"] = before
        named[f"after {step} steps" if name == "generated" else name] = video
    return named
