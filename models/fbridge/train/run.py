"""A training run: the loop with the run's files, curves and trackers around it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, cast

from fbridge.checks import is_url
from fbridge.choices import SHORTEST_FVD_CLIP
from fbridge.errors import CheckpointError, ConfigError, DependencyError
from fbridge.files.atomic import shown
from fbridge.loaders.pretrained import PretrainedModel
from fbridge.prepare.longer import longer_clips, too_short
from fbridge.train.checkpoints.reading import (
    Checkpoint,
    Chosen,
    checkpoint_of_step,
    newest,
    newest_whole,
)
from fbridge.train.checkpoints.state import check_identity
from fbridge.train.events import (
    Begun,
    Ended,
    Event,
    Measured,
    Ready,
    Stepped,
    Summary,
    Validated,
    Warned,
)
from fbridge.train.export.result import result_folder, write_result
from fbridge.train.loop import fit
from fbridge.train.losses import BridgeTraining
from fbridge.train.lost import naming_lost_processes
from fbridge.train.numbers import Numbers
from fbridge.train.places import places
from fbridge.train.request import TrainRequest
from fbridge.train.run_files import CURVES, Curves, environment_facts, locked_run, write_run
from fbridge.train.setup.accelerate import check_agreed
from fbridge.train.setup.dataset import room_note
from fbridge.train.setup.dry_run import measure_step
from fbridge.train.setup.session import Session, build_session, flatten
from fbridge.train.summary.report import RunReport, State
from fbridge.train.trackers import Trackers

_UNLOCKED = (
    "the file system of the run's folder has no locks: start no second training in that folder"
)


def run(
    request: TrainRequest,
    *,
    stop: Callable[[], bool] = bool,
    command_line: str = "",
) -> Generator[Event]:
    """Train as a request says: `Ready` and the events of `train`; of a dry run only `Measured`.

    Args:
        request: with the folder of its data set in `config.data`.
        stop: see `train`.
        command_line: for the run's run.json.

    Raises:
        FBridgeError: see `locked_run`, `find_resume`, `build_session` and `train`.
    """
    command, config, device = request.command, request.config, request.device
    if request.dry_run:
        session = build_session(command, config, request.run, device=device)
        facts = run_facts(session, command_line)
        yield Measured(facts, measure_step(session).to_json())
        return
    launch = request.launch
    lock = locked_run(request.run) if launch.first else nullcontext(True)
    with naming_lost_processes(None if request.apart else request.run), lock as locked:
        found = find_resume(request.run, wanted=request.resume, step=request.checkpoint)
        session = build_session(
            command,
            config,
            request.run,
            device=device,
            file=request.file,
            resume=found.checkpoint,
            store=request.store,
        )
        check_agreed(session.training.accelerator, found.checkpoint)
        yield Ready(found.checkpoint is not None)
        if not locked:
            yield Warned(_UNLOCKED)
        if note := room_note(config, session.material.dataset):
            yield Warned(note)
        yield from (Warned(f"{shown(file)} is damaged; passed over") for file in found.damaged)
        yield from train(
            session,
            resume=found.checkpoint,
            accept_changes=request.accept_changes,
            stop=stop,
            command_line=command_line,
        )


def find_resume(run: Path, *, wanted: bool, step: int | None = None) -> Chosen:
    """The checkpoint to resume; none where the folder holds no run.

    Args:
        run: the run's folder.
        wanted: whether to resume.
        step: of the checkpoint; None is the newest whole one.

    Raises:
        ConfigError: the folder holds a run, and resuming is not wanted.
        CheckpointError: resuming is wanted, and no checkpoint is whole, or not that of `step`.
    """
    if wanted and step is not None:
        return Chosen(checkpoint_of_step(run, step))
    if wanted:
        found = newest_whole(run)
        if found.checkpoint is None and found.damaged:
            raise CheckpointError(
                f"{shown(run)}: holds no whole checkpoint ({shown(found.damaged[0])} is damaged); "
                "begin another run with another -o"
            )
        return found
    there = newest(run)
    if there is not None or (run / CURVES).is_file():
        what = f"has a run at step {there.step}" if there else "has a run without a checkpoint"
        way = f"add --resume to {'go on with it' if there else 'begin it again'}, or "
        raise ConfigError(f"{shown(run)}: {what}; {way}name another folder with -o")
    return Chosen(None)


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
    trackers = report = None
    if session.first:
        facts = run_facts(session, command_line)
        write_run(run, session.config, facts)
        report = RunReport(session, facts)
        if warning := curves.begin(0 if resume is None else resume.step):
            yield Warned(warning)
    training.accelerator.wait_for_everyone()
    if session.config.log.trackers and set(session.config.log.trackers) != {"csv"}:
        trackers = Trackers(training.accelerator, run, flatten(session.config))
    numbers = Numbers(curves if session.first else None, trackers)
    try:
        steps = cast(
            "Generator[Event]",
            fit(training, resume=resume, accept_changes=accept_changes, stop=stop),
        )
        with closing(steps) as events:
            for event in events:
                if isinstance(event, Stepped | Validated):
                    yield from numbers.add(event)
                if isinstance(event, Validated) and report is not None:
                    yield from _reported(partial(report.validated, event))
                if isinstance(event, Ended):
                    event = yield from _ended(session, report, event)
                if isinstance(event, Begun):
                    event = Begun(event.step, event.steps, event.resumed, _notes(session, changes))
                yield event
    finally:
        numbers.close()


def _ended(
    session: Session, report: RunReport | None, event: Ended
) -> Generator[Warned, None, Ended]:
    """The last event with the result and the summary of the run."""
    result = None if event.stopped else _result(session)
    if report is None:
        return Ended(event.step, event.stopped, result)
    state: State = "stopped" if event.stopped else "finished"
    summary = yield from _reported(partial(report.write, event.step, state))
    return Ended(event.step, event.stopped, result, summary)


def _reported(write: Callable[[], Summary]) -> Generator[Warned, None, Summary | None]:
    """Write the report; what keeps it from being written ends no training."""
    try:
        return write()
    except DependencyError as error:
        yield Warned(f"{error}; training goes on without it")
        return None


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
        "base": None if base is None else _base_facts(base),
        "places": places(session.config),
        "data": {
            "path": _absolute(str(session.config.data)),
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


def _absolute(data: str) -> str:
    return data if is_url(data) else str(Path(data).resolve())


def _base_facts(base: PretrainedModel) -> dict[str, Any]:
    loras = [lora.record.tree() for lora in base.loras]
    return {"name": base.name, "sha256": base.hash, **({"loras": loras} if loras else {})}


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
    if note := session.training.share.note:
        notes.append(note)
    base, start = session.model.base, session.model.about.get("start_from")
    notes += [lora.note_of_run for lora in (() if base is None else base.loras)]
    if base is not None and base.scheduler is not None and start is not None:
        usual = "repeat" if base.prior is None else "neural"
        own, kind = (base.start_from or {}).get("kind", usual), start["kind"]
        if own != kind:
            notes.append(f"base {base.name} starts from prior {own!r}, this run from {kind!r}")
        elif session.config.prior.kind == "auto" and session.config.prior.path is None:
            notes.append(f"prior {kind!r} of base {base.name}, which stays as it is")
    task = session.model.task
    if isinstance(task, BridgeTraining) and task.times.max is not None:
        notes.append(
            f"bridge times {task.times.min or 0:.3f} to {task.times.max:.3f} are trained, of 0 "
            "(video) to 1 (prior); the result makes videos within them"
        )
    frames = session.material.shape.frames
    if frames < SHORTEST_FVD_CLIP:
        found = longer_clips(session.material.dataset.folder, session.material.shape.step)
        notes.append(too_short(frames) + (f"; to make longer ones: {found[0]}" if found else ""))
    if session.training.validate is None:
        notes.append("without held-out clips there is no validation")
    return tuple(notes)
