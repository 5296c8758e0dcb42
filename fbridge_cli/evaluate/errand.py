"""An order of `fbridge eval`, carried out: checked, followed to its end, told and written."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from fbridge.errors import DataError
from fbridge.files.atomic import shown, write_text
from fbridge_cli import runtime
from fbridge_cli.checks import home_expanded
from fbridge_cli.evaluate.order import Typed
from fbridge_cli.processes import Process, this_process
from fbridge_cli.progress import Bar
from fbridge_cli.ui import Ui

if TYPE_CHECKING:
    from fbridge.evaluation.result import Evaluation
    from fbridge.evaluation.run import EvalRequest, Event, Share


PATIENCE = timedelta(days=7)
"""How long processes wait for the slowest one."""


def carry_out(typed: Typed, ui: Ui) -> None:
    """Do what the user asks.

    Raises:
        FBridgeError: for every mistake that is the user's to mend.
    """
    from fbridge_cli.evaluate import listing, study

    process = this_process()
    ui = ui if process.first else Ui(machine=ui.machine, mute=True)
    if typed.list_all:
        listing.tell(ui)
        return
    if typed.study_results:
        study.tell_results(typed, ui)
        return
    typed.check()
    with runtime.quiet():
        if typed.study is not None:
            study.write(typed, typed.study, ui)
            return
        if typed.compare is not None:
            listing.compare(*typed.compare, ui)
            return
        typed.point_to_weights()
        order = _order(typed, ui, process)
        evaluation = _follow(order, ui, process)
    if process.first:
        _tell(evaluation, typed, ui)


def _order(typed: Typed, ui: Ui, process: Process) -> EvalRequest:
    from fbridge.evaluation.features.cache import usual_cache
    from fbridge.evaluation.run import EvalRequest
    from fbridge_cli.evaluate.found import find_subject

    metrics, protocol = typed.chosen(), typed.settled()
    device = runtime.present_device(typed.device, process.local if process.world > 1 else None)
    workers = typed.workers
    if workers is None:
        workers = process.workers() if device == "cpu" else 1
    subject = find_subject(typed, metrics, protocol, ui, process, device=device)
    return EvalRequest(
        generated=subject.generated,
        reference=subject.reference,
        metrics=metrics,
        protocol=subject.protocol,
        title=typed.title or subject.title,
        rows=subject.rows,
        pictures=None if typed.pictures is None else Path(home_expanded(typed.pictures)),
        baselines=typed.baselines,
        skip_bad=typed.skip_bad,
        workers=workers,
        cache=Path(home_expanded(typed.cache)) if typed.cache else usual_cache(),
        device=device,
        codec=typed.codec or subject.codec,
        notes=subject.notes,
    )


def _share(process: Process, device: str) -> Share:
    from fbridge.evaluation.run import Share

    if process.world == 1:
        return Share()
    from accelerate import PartialState

    together = PartialState(cpu=device == "cpu", timeout=PATIENCE)
    return Share(process.number, process.world, together.wait_for_everyone)


def _follow(order: EvalRequest, ui: Ui, process: Process) -> Evaluation:
    from fbridge.evaluation.result import Evaluation
    from fbridge.evaluation.run import evaluate

    with ui.progress(None, "clips") as bar:
        for event in evaluate(order, _share(process, order.device)):
            if isinstance(event, Evaluation):
                return event
            _show(event, bar, ui)
    raise AssertionError("an evaluation ends with its result")


def _show(event: Event, bar: Bar, ui: Ui) -> None:
    from fbridge.evaluation.pairing import Looking
    from fbridge.evaluation.run import Listed

    if isinstance(event, Listed):
        ui.note(f"{shown(event.source)}: {event.clips} videos, {event.told}")
    elif isinstance(event, Looking):
        bar.show(f"looking into {event.what}", event.done, event.total)
    elif not hasattr(event, "scores"):
        kept = event.done - event.fresh
        bar.show(f"measuring ({kept} known)" if kept else "measuring", event.done, event.total)


def _tell(evaluation: Evaluation, typed: Typed, ui: Ui) -> None:
    from fbridge_cli.evaluate import tables

    if ui.machine:
        ui.json(evaluation.to_json())
    else:
        tables.show(evaluation, ui)
    for path in typed.out or ():
        write_text(path, tables.FORMS[path.suffix.lower()](evaluation))
        ui.note(f"wrote {shown(path)}")
    if typed.vbench is not None:
        write_text(typed.vbench, tables.vbench(evaluation))
        ui.note(f"wrote {shown(typed.vbench)}")
    if typed.report is not None:
        from fbridge.evaluation.report import write_report

        with ui.waiting("writing the report"):
            write_report(evaluation, typed.report)
        ui.note(f"wrote {shown(typed.report)}")


def read_result(path: Path) -> Evaluation:
    """What --json wrote.

    Raises:
        DataError: it is not there, or something else.
    """
    from fbridge.evaluation.result import parse_evaluation

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{shown(path)}: cannot be read ({error})") from None
    return parse_evaluation(text, shown(path))
