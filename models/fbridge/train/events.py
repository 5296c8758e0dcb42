"""The events that a training run yields."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias


@dataclass(frozen=True)
class Measured:
    """The result of a dry run.

    Attributes:
        facts: what the run's run.json would say.
        cost: what a run needs, as `fbridge.train.build.dry_run.StepCost` has it.
    """

    facts: dict[str, Any]
    cost: dict[str, Any]


@dataclass(frozen=True)
class Ready:
    """Data and networks are loaded; `resumes` says whether there is a checkpoint to resume."""

    resumes: bool


@dataclass(frozen=True)
class Begun:
    """The loop starts: at the first step, or after the checkpoint that it resumes.

    Attributes:
        step: optimizer steps that are done.
        steps: of the whole run.
        resumed: the checkpoint that is resumed.
        notes: messages for the user, a line each.
    """

    step: int
    steps: int
    resumed: Path | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stepped:
    """Means over the optimizer steps since the last event of this kind.

    Attributes:
        step: the last one that was finished.
        loss: weighted, over all processes.
        norm: of the gradient before clipping.
        lr: learning rate of the step.
        seconds: a step, without validation and saving.
        waited: share of them spent waiting for data.
        clips: a second, of all processes.
        memory: bytes: of the device where it counts them, else resident.
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
    """Held-out scores with the averaged weights.

    Attributes:
        step: of the weights; 0 is before the first.
        scores: by name, "held_out" first: the lower the better.
        files: pictures and videos that were written.
        seconds: it took.
    """

    step: int
    scores: dict[str, float]
    files: tuple[Path, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Saved:
    """A checkpoint is whole on the disk; `best` has the lowest held-out loss of those kept."""

    step: int
    path: Path
    best: bool = False


@dataclass(frozen=True)
class Ended:
    """The last event: all steps are done, or it was asked to stop and has saved.

    Attributes:
        step: that was reached.
        stopped: whether it was asked to.
        result: what was written of the model, once all steps are done.
        facts: of the whole run, for a report.
    """

    step: int
    stopped: bool = False
    result: Path | None = None
    facts: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Warned:
    """Something failed that training can do without, such as a curve that cannot be written."""

    text: str


Event: TypeAlias = Measured | Ready | Begun | Stepped | Validated | Saved | Warned | Ended
