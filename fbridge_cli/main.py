"""The program `fbridge`: its commands, and errors as one line and an exit code."""

from __future__ import annotations

import errno
import io
import sys
from collections.abc import Sequence
from contextvars import copy_context
from typing import Annotated, Any

import typer

import fbridge
from fbridge.errors import DependencyError, FBridgeError, reason
from fbridge_cli import exit_codes
from fbridge_cli.config import config
from fbridge_cli.doctor import doctor
from fbridge_cli.evaluate import evaluate
from fbridge_cli.export import export
from fbridge_cli.generate import generate
from fbridge_cli.info import info
from fbridge_cli.prepare import prepare
from fbridge_cli.show import show
from fbridge_cli.training import finetune, train_prior
from fbridge_cli.ui import Ui
from fbridge_cli.weights import build_weights

_UsageError: type[Any] = typer.BadParameter.__mro__[1]
"""click's UsageError, from whichever click this Typer is built on."""


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fbridge {fbridge.__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version and stop."
        ),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option(
            "--debug", help=f"Show tracebacks and warnings, as {exit_codes.VARIABLE}=1 does."
        ),
    ] = False,
) -> None:
    """Turn a picture into a video with a stochastic bridge.

    Example:
        fbridge generate cat.jpg -p "cat jumping"
    """
    del version  # its callback has handled it
    exit_codes.DEBUG.set(debug)


def build_app() -> typer.Typer:
    """The application with all commands."""
    app = typer.Typer(
        name="fbridge",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    app.command()(generate)
    app.command()(show)
    app.command()(info)
    app.command()(prepare)
    app.command()(train_prior)
    app.command()(finetune)
    app.command()(export)
    app.command("eval")(evaluate)
    app.command()(config)
    app.command()(doctor)
    app.add_typer(build_weights())
    return app


def main() -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(sys.argv[1:]))


def run(args: Sequence[str]) -> int:
    """Run one command line and return its exit code; without arguments, print the help."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # file names may not be valid text
    with exit_codes.signals_as_interrupts() as signals:
        return copy_context().run(_run, list(args) or ["--help"], signals)


def _run(args: list[str], signals: list[int]) -> int:
    ui = Ui()
    try:
        code = build_app()(args=args, prog_name="fbridge", standalone_mode=False)
    except exit_codes.Stopped as stop:
        if str(stop):
            ui.note(str(stop))
        return stop.code
    except FBridgeError as error:
        return _report(error, str(error), exit_codes.exit_code(error), ui)
    except _UsageError as error:
        command = error.ctx.command_path if error.ctx else "fbridge"
        message = error.format_message().rstrip(".")
        if not message:  # a group of commands named alone: its help has been shown
            return 0
        return _report(error, f"{message}; see {command} --help", exit_codes.USAGE, ui)
    except (KeyboardInterrupt, typer.Abort):
        code = exit_codes.INTERRUPTED
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            message = "no room is left where the output goes; free some space, or send it elsewhere"
            return _report(error, message, exit_codes.exit_code(DependencyError(message)), ui)
        message = (
            f"internal error: {type(error).__name__}: {reason(error)}; this is a mistake in "
            "fbridge: please report it with the command line and what "
            f"{exit_codes.VARIABLE}=1 adds to it"
        )
        return _report(error, message, exit_codes.INTERNAL, ui)
    if code == exit_codes.INTERRUPTED:
        ui.note("interrupted")
        return 128 + signals[-1] if signals else code
    return code if isinstance(code, int) else 0


def _report(error: Exception, message: str, code: int, ui: Ui) -> int:
    if exit_codes.debugging():
        import traceback

        traceback.print_exception(error)
    ui.error(message)
    return code
