"""An order of `fbridge prepare`, carried out: checked, followed to its end, and told about."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, cast

from fbridge.errors import DataError, FBridgeError
from fbridge.files.atomic import shown
from fbridge_cli import runtime
from fbridge_cli.exit_codes import Stopped, interrupt_code
from fbridge_cli.prepare.order import Order
from fbridge_cli.processes import Process, this_process
from fbridge_cli.ui import Ui

if TYPE_CHECKING:
    from fbridge.prepare import Options
    from fbridge.prepare.run import Event
    from fbridge_cli.prepare.report import Report


def carry_out(order: Order, ui: Ui) -> None:
    """Do what the user asks.

    Raises:
        FBridgeError: for every mistake that is the user's to mend.
        Stopped: when the user stops it, saying how far it came.
    """
    process = this_process()
    # Read once, when torch is loaded: threads that spin while they wait take the decoders' time.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with _named(process), runtime.quiet():
        if order.verify is not None:
            order.check_alone()
            if process.first:
                from fbridge_cli.prepare.checking import check_data_set

                check_data_set(order.verify, ui)
            return
        with ui.waiting("getting ready"):
            options = order.options(process)
            from fbridge_cli.prepare.report import Report
        report = Report(options, ui, process)
        with _telling(report, ui, process):
            _follow(options, report, dry_run=order.dry_run)
            if order.preview and process.first:
                _preview(options, report, ui)
            report.check_rejected()


def _follow(options: Options, report: Report, *, dry_run: bool) -> None:
    from fbridge import prepare as core

    events = cast("Generator[Event]", core.prepare(options, dry_run=dry_run))
    with closing(events):
        for event in events:
            report.tell(event)
            if report.tally is not None and not report.tally.clips and not dry_run:
                raise DataError(
                    f"{shown(options.source)}: no clip is left of {report.tally.files} files; "
                    "see above why, or take fewer --frames"
                )


def _preview(options: Options, report: Report, ui: Ui) -> None:
    from fbridge.prepare import preview

    with ui.waiting("drawing the preview"):
        paths = preview.write_preview(options)
    report.tell_preview(paths)


@contextmanager
def _telling(report: Report, ui: Ui, process: Process) -> Iterator[None]:
    """However it ends, take the bar away and say what there is."""
    try:
        yield
    except (KeyboardInterrupt, FBridgeError) as error:
        report.still()
        if not isinstance(error, FBridgeError):
            raise Stopped(f"interrupted; {report.state()}", interrupt_code(error)) from None
        if report.begun and process.first:
            ui.note(report.state())
        raise
    finally:
        report.still()
        if ui.machine and process.first and report.tally is not None:
            ui.json(report.tree())


@contextmanager
def _named(process: Process) -> Iterator[None]:
    """Where several processes speak, say which one does."""
    try:
        yield
    except FBridgeError as error:
        if not process.name:
            raise
        raise type(error)(f"{process.name}{error}") from error
    except Stopped as stop:
        raise Stopped(f"{process.name}{stop}", stop.code) from None
