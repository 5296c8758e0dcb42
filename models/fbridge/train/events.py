"""Events that a training run yields; the core prints nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias


@dataclass(frozen=True)
class Measured:
    """The result of a dry run.

    Attributes:
        facts: what the run's run.json would say.
        cost: what a run needs, as `fbridge.train.setup.dry_run.StepCost` has it.
    """

    facts: dict[str, Any]
    cost: dict[str, Any]


@dataclass(frozen=True)
class Ready:
    """Data and networks are loaded; `resumes` says whether there is a checkpoint to resume."""

    resumes: bool


@dataclass(frozen=True)
class Begun:
    """The loop begins.

    Attributes:
        step: optimiser steps already done.
        steps: of the whole run.
        resumed: the checkpoint that is resumed.
        notes: remarks, one line each.
    """

    step: int
    steps: int
    resumed: Path | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stepped:
    """Means over the optimiser steps since the previous report.

    Attributes:
        step: number of the last step.
        loss: weighted, over all processes.
        norm: of the gradient before clipping.
        lr: learning rate of the last step.
        seconds: per step, without validation and saving.
        waited: share of this time spent waiting for data.
        clips: per second, over all processes.
        memory: bytes: peak of a CUDA device, else resident.
    """

    step: int
    loss: float
    norm: float
    lr: float
    seconds: float
    waited: float
    clips: float
    memory: int


@dataclass(frozen=True)
class Validated:
    """Held-out scores of the averaged weights.

    Attributes:
        step: of the weights; 0: before training.
        scores: by name; "held_out", lower is better, comes first.
        files: images and videos written: the contact sheet, then a video of each clip.
        captions: of these clips.
        columns: names of the videos that are side by side in a clip's.
        seconds: duration.
    """

    step: int
    scores: dict[str, float]
    files: tuple[Path, ...] = ()
    captions: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Saved:
    """A checkpoint is on the disk; `best`: it has the lowest held-out loss of those kept."""

    step: int
    path: Path
    best: bool = False


@dataclass(frozen=True)
class Summary:
    """Results and next steps of a run.

    Attributes:
        learnt: sentences on what it has learnt, the verdict first.
        sheet: contact sheet of the last validation.
        report: the page with all of it.
        lines: command lines that go on from here, each after what it is for.
    """

    learnt: tuple[str, ...] = ()
    sheet: Path | None = None
    report: Path | None = None
    lines: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Ended:
    """The last event: all steps are done, or the run was asked to stop and has saved.

    Attributes:
        step: the last one.
        stopped: whether it was asked to stop.
        result: folder of the model, if all steps are done.
        summary: None in all processes but the first.
    """

    step: int
    stopped: bool = False
    result: Path | None = None
    summary: Summary | None = None


@dataclass(frozen=True)
class Warned:
    """A failure that does not end the training, such as curves that cannot be written."""

    text: str


Event: TypeAlias = Measured | Ready | Begun | Stepped | Validated | Saved | Warned | Ended
