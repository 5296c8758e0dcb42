"""An order of a training command, carried out: checked, followed to its end, and told about."""

from __future__ import annotations

import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from fbridge.errors import FBridgeError
from fbridge.files.atomic import check_writable, shown
from fbridge_cli import runtime
from fbridge_cli.exit_codes import INTERRUPTED, Stopped, Terminated, interrupt_code
from fbridge_cli.processes import Process, this_process
from fbridge_cli.training.order import DEMO, Order, Settled
from fbridge_cli.ui import Ui

if TYPE_CHECKING:
    from fbridge.config import Resolved
    from fbridge.train.build.session import Session
    from fbridge.train.checkpoints.checkpoint import Checkpoint

GRACE = 10.0
"""Seconds that other processes than the first keep an error to themselves."""
ECHO = 2.0
"""Seconds within which a second request to stop is the first one, passed on."""


def carry_out(order: Order, ui: Ui) -> None:
    """Do what the user asks.

    Raises:
        FBridgeError: for every mistake that is the user's to mend.
        Stopped: when the user or the system stops it, saying what was saved.
    """
    process = this_process()
    ui = ui if process.first else Ui(machine=ui.machine, mute=True)
    with _speaking_once(process):
        settled = order.settle(alone=process.world == 1)
        check_writable(settled.run)
        with runtime.quiet():
            _carry_out(order, settled, ui, process)


def _carry_out(order: Order, settled: Settled, ui: Ui, process: Process) -> None:
    run = settled.run
    with ui.waiting("getting ready"):
        from fbridge.train.run import find_resume

        resume = None if order.dry_run else find_resume(run, wanted=order.resume)
    _say_what(order, settled, ui)
    session = _session(order, settled, ui, process)
    if order.dry_run:
        _show_needs(session, settled.resolved, ui)
        return
    if order.resume and resume is None:
        ui.note(f"{shown(run)}: there is no checkpoint yet; beginning")
    _follow(session, resume, order, ui, process)


@contextmanager
def _speaking_once(process: Process) -> Iterator[None]:
    """Of the same error in several processes only the first one's is said.

    Another one waits before it complains: where the first one fails too, the launcher ends it
    meanwhile, and where it does not, its error is said with its number.
    """
    if process.first:
        yield
        return
    try:
        try:
            yield
        except Exception as error:
            if isinstance(error, Stopped):
                raise
            time.sleep(GRACE)
            if isinstance(error, FBridgeError):
                raise type(error)(f"{process.name}{error}") from error
            raise
    except KeyboardInterrupt as stop:
        raise Stopped("", interrupt_code(stop)) from None


def _say_what(order: Order, settled: Settled, ui: Ui) -> None:
    """Which configuration, base and data it will be, before anything slow begins."""
    config, file = settled.resolved.config, settled.file
    told = f"configuration: {'built-in defaults' if file is None else shown(file)}"
    ui.note(told + (f", recipe {config.recipe}" if config.recipe else ""))
    if order.command == "finetune":
        ui.note(f"base: {config.base}")
    what = "the built-in demo clips" if config.data == DEMO else config.data
    ui.note(f"data: {what}; run: {shown(settled.run)}")


def _session(order: Order, settled: Settled, ui: Ui, process: Process) -> Session:
    config = settled.resolved.config
    if order.device == "cuda":
        runtime.present_device(order.device)
    if config.data == DEMO:
        from fbridge_cli.training.demo import demo_data

        config = config.model_copy(update={"data": str(demo_data(ui, process))})
    with ui.waiting("loading data and networks"):
        from fbridge.train.build.session import build_session

        return build_session(order.command, config, settled.run, device=order.device)


def _show_needs(session: Session, resolved: Resolved, ui: Ui) -> None:
    from fbridge.config import to_toml
    from fbridge.train.build.dry_run import measure_step
    from fbridge.train.run import run_facts
    from fbridge_cli.training.report import needs_lines

    facts = run_facts(session, _command_line())
    with ui.waiting("probing one step"):
        needs = measure_step(session)
    if ui.machine:
        tree = {"config": session.config.model_dump(mode="json"), "facts": facts}
        ui.json({**tree, "origin": dict(resolved.origin), "needs": needs.to_json()})
        return
    ui.result(to_toml(session.config, comments=False).rstrip())
    for line in needs_lines(needs, facts):
        ui.result(line)


def _follow(
    session: Session, resume: Checkpoint | None, order: Order, ui: Ui, process: Process
) -> None:
    from fbridge.train.events import Ended
    from fbridge.train.run import train
    from fbridge_cli.training.report import Report

    launcher = "fbridge" if process.world == 1 else "accelerate launch -m fbridge_cli"
    way_on = shlex.join([*launcher.split(), order.command, "-o", shown(session.run), "--resume"])
    report = Report(session, ui, way_on)
    with stopping_at_a_step() as asked, report:
        events = train(
            session,
            resume=resume,
            accept_changes=order.accept_changes,
            stop=asked,
            command_line=_command_line(),
        )
        for event in events:
            report.tell(event)
            if isinstance(event, Ended) and event.stopped:
                raise Stopped(report.stopped(event) if process.first else "", INTERRUPTED)


@contextmanager
def stopping_at_a_step() -> Iterator[Callable[[], bool]]:
    """While open, Ctrl-C and requests to end are kept for the loop to ask about.

    A second one stops at once, unless it comes right behind the first: a launcher passes on to its
    processes what the terminal has sent them already. What the system was told to ignore (nohup)
    stays ignored.
    """
    asked: list[float] = []

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        now = time.monotonic()
        if asked and now - asked[0] > ECHO:
            raise KeyboardInterrupt if number == signal.SIGINT else Terminated(number)
        if not asked:
            asked.append(now)

    kept = {}
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            kept[number] = signal.signal(number, note)
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def _command_line() -> str:
    return shlex.join(["fbridge", *sys.argv[1:]])
