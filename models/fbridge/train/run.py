"""A training run: the loop with the run's files, curves and trackers around it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, cast

from fbridge.errors import CheckpointError, ConfigError, DependencyError, reason
from fbridge.files.atomic import shown
from fbridge.train.checkpoints.checkpoint import Checkpoint, newest
from fbridge.train.checkpoints.state import check_identity
from fbridge.train.events import Begun, Ended, Event, Measured, Ready, Stepped, Validated, Warned
from fbridge.train.export.result import result_folder, write_result
from fbridge.train.loop import fit
from fbridge.train.request import TrainRequest
from fbridge.train.run_files import CURVES, Curves, environment_facts, write_run
from fbridge.train.setup.dry_run import measure_step
from fbridge.train.setup.session import Session, build_session, flatten
from fbridge.train.trackers import Trackers


def run(
    request: TrainRequest, *, stop: Callable[[], bool] = bool, command_line: str = ""
) -> Iterator[Event]:
    """Train as a request says: `Ready` and the events of `train`; of a dry run only `Measured`.

    Args:
        request: with the folder of its data set in `config.data`.
        stop: see `train`.
        command_line: for the run's run.json.

    Raises:
        FBridgeError: see `find_resume`, `build_session` and `train`.
    """
    resume = None if request.dry_run else find_resume(request.run, wanted=request.resume)
    session = build_session(request.command, request.config, request.run, device=request.device)
    if request.dry_run:
        facts = run_facts(session, command_line)
        yield Measured(facts, measure_step(session).to_json())
        return
    yield Ready(resume is not None)
    yield from train(
        session,
        resume=resume,
        accept_changes=request.accept_changes,
        stop=stop,
        command_line=command_line,
    )


def find_resume(run: Path, *, wanted: bool) -> Checkpoint | None:
    """The checkpoint to resume: the newest whole one, or None where the folder holds no run.

    Raises:
        ConfigError: the folder holds a run, and resuming is not wanted.
        CheckpointError: resuming is wanted, and no checkpoint is whole.
    """
    there = newest(run)
    if wanted:
        if there is None and run.is_dir() and any(run.glob("checkpoint-*")):
            raise CheckpointError(
                f"{shown(run)}: holds no whole checkpoint; begin another run with another -o"
            )
        return there
    if there is not None or (run / CURVES).is_file():
        what = f"has a run at step {there.step}" if there else "has a run without a checkpoint"
        way = f"add --resume to {'go on with it' if there else 'begin it again'}, or "
        raise ConfigError(f"{shown(run)}: {what}; {way}name another folder with -o")
    return there


def train(
    session: Session,
    *,
    resume: Checkpoint | None = None,
    accept_changes: bool = False,
    stop: Callable[[], bool] = bool,
    command_line: str = "",
) -> Iterator[Event]:
    """Run a session: the events of `fbridge.train.loop.fit`, with the result in `Ended`.

    Args:
        session: data, networks and settings.
        resume: the checkpoint to continue from.
        accept_changes: see `check_identity`.
        stop: asked after every step whether to save and end.
        command_line: for the run's run.json.

    Raises:
        FBridgeError: see `fit`; a full disk leaves the last good checkpoint and says so.
    """
    training, run = session.training, session.run
    changes: list[str] = []
    if resume is not None:
        changes = check_identity(resume, training.identity, accept_changes=accept_changes)
    curves = Curves(run)
    trackers = None
    if session.first:
        write_run(run, session.config, run_facts(session, command_line))
        curves.begin(0 if resume is None else resume.step)
    training.accelerator.wait_for_everyone()
    if session.config.log.trackers and set(session.config.log.trackers) != {"csv"}:
        trackers = Trackers(training.accelerator, run, flatten(session.config))
    numbers = _Numbers(curves if session.first else None, trackers)
    try:
        steps = cast(
            "Generator[Event]",
            fit(training, resume=resume, accept_changes=accept_changes, stop=stop),
        )
        with closing(steps) as events:
            for event in events:
                if isinstance(event, Stepped | Validated):
                    yield from numbers.add(event)
                if isinstance(event, Ended) and not event.stopped:
                    event = Ended(event.step, result=_result(session))
                if isinstance(event, Begun):
                    event = Begun(event.step, event.steps, event.resumed, _notes(session, changes))
                yield event
    finally:
        numbers.close()


class _Numbers:
    """Curves and trackers of a run; a failure to write them never ends the training."""

    def __init__(self, curves: Curves | None, trackers: Trackers | None) -> None:
        self._curves = curves
        self._trackers = trackers
        self._failing = False

    def add(self, event: Stepped | Validated) -> Iterator[Warned]:
        """Write the numbers of an event; warns when that begins to fail."""
        try:
            if self._curves is not None:
                self._curves.add(event.step, _numbers(event))
            self._failing = False
        except DependencyError as error:
            if not self._failing:
                yield Warned(f"{error}; training goes on without")
            self._failing = True
        try:
            if self._trackers is not None:
                self._trackers.add(event.step, _numbers(event, grouped=True))
        except Exception as error:  # each tracker's client raises errors of its own
            self._trackers = None
            yield Warned(f"a tracker failed ({reason(error)}); training goes on "
                         "without trackers")  # fmt: skip

    def close(self) -> None:
        """Close the trackers; errors are ignored."""
        if self._trackers is not None:
            with suppress(Exception):
                self._trackers.close()


def run_facts(session: Session, command_line: str) -> dict[str, Any]:
    """The content of run.json."""
    model, material, training = session.model, session.material, session.training
    base = model.base
    parameters = list(training.network.parameters())
    return {
        "command": session.command,
        "command_line": command_line,
        "processes": training.accelerator.num_processes,
        "device": str(training.accelerator.device),
        "base": None if base is None else {"name": base.name, "sha256": base.hash},
        "data": {
            "path": str(Path(str(session.config.data)).resolve()),
            "sha256": material.dataset.hash,
            "training": len(material.parts.training),
            "held_out": len(material.parts.held_out),
            "told": material.parts.summary,
            "codec": material.dataset.index["codec"],
            "text_encoder": material.dataset.index["text_encoder"],
        },
        "shape": material.shape.to_json(),
        "parameters": sum(p.numel() for p in parameters),
        "trained_parameters": sum(p.numel() for p in parameters if p.requires_grad),
        "identity": training.identity,
        **environment_facts(),
    }


def _result(session: Session) -> Path | None:
    session.training.accelerator.wait_for_everyone()
    result = session.run / result_folder(session.command, session.config)
    if session.first:
        last = newest(session.run)
        assert last is not None, "the loop has saved its last step"
        write_result(session, last, result)
    session.training.accelerator.wait_for_everyone()
    return result


def _notes(session: Session, changes: list[str]) -> tuple[str, ...]:
    notes = [session.material.parts.summary, *(f"changed: {change}" for change in changes)]
    base, start = session.model.base, session.model.about.get("start_from")
    if base is not None and base.scheduler is not None and start is not None:
        usual = "repeat" if base.prior is None else "neural"
        own, kind = (base.start_from or {}).get("kind", usual), start["kind"]
        if own != kind:
            notes.append(f"base {base.name} starts from prior {own!r}, this run from {kind!r}")
        elif session.config.prior.kind == "auto" and session.config.prior.path is None:
            notes.append(f"prior {kind!r} of base {base.name}, which stays as it is")
    if session.training.validate is None:
        notes.append("without held-out clips there is no validation")
    return tuple(notes)


def _numbers(event: Stepped | Validated, *, grouped: bool = False) -> dict[str, float]:
    """The numbers of an event by name; `grouped` puts a group before each, for trackers."""
    if isinstance(event, Validated):
        return {f"validation/{k}" if grouped else k: v for k, v in event.scores.items()}
    numbers = {
        "loss": event.loss,
        "gradient_norm": event.norm,
        "lr": event.lr,
        "seconds_per_step": event.seconds,
        "data_waiting": event.waited,
        "clips_per_second": event.clips,
        "memory_bytes": float(event.memory),
    }
    return {f"train/{name}" if grouped else name: value for name, value in numbers.items()}
