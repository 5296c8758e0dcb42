"""The program `fbridge`: its commands, and errors as one line and an exit code."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Sequence
from contextvars import copy_context
from importlib import import_module
from typing import Annotated, Any

import typer

import fbridge
from fbridge.errors import DependencyError, FBridgeError, reason
from fbridge.files.hub import offline_variable
from fbridge_cli import exit_codes
from fbridge_cli.ui import Ui

_UsageError: type[Any] = typer.BadParameter.__mro__[1]
"""click's UsageError, from whichever click this Typer is built on."""

COMPLETES = "_FBRIDGE_COMPLETE"
"""Environment variable by which a shell asks for completions; its command line is in others."""

COMMANDS = {
    "generate": ("generate.generate", "Make videos from pictures and a prompt."),
    "show": ("show.show", "Print how a video was made."),
    "info": (
        "info.info",
        "Show which model a file or folder is and what it lacks, without reading weights.",
    ),
    "prepare": (
        "prepare.prepare",
        "Turn a collection of videos into a data set of latents to train on.",
    ),
    "train-prior": (
        "training.train_prior",
        "Train a neural prior: the video regressed from picture and prompt in one pass.",
    ),
    "finetune": ("training.finetune", "Turn a text-to-video model into an image-to-video bridge."),
    "export": ("export.export", "Write a model from a training run, for this and other programs."),
    "eval": (
        "evaluate.evaluate",
        "Measure generated videos, every number with its protocol, interval and baselines.",
    ),
    "config": ("config.config", "Print the resolved configuration of train-prior and finetune."),
    "doctor": (
        "doctor.doctor",
        "Print what this machine has and what a model would need: memory, time, memory options.",
    ),
    "weights": (
        "weights.build_weights",
        "Third-party networks that metrics need: list, fetch, verify.",
    ),
}
"""Names of commands to module.function, and the summary that begins the function's docstring."""


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


def build_app(args: Sequence[str] | None = None) -> typer.Typer:
    """The application.

    Args:
        args: a command line; commands that it does not name are there in name and summary only,
            since their modules take longer to import than the help takes to print. By default all
            commands are whole.
    """
    app = typer.Typer(
        name="fbridge",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for name, (place, summary) in COMMANDS.items():
        if args is not None and name not in args:
            app.command(name, help=summary)(lambda: None)
            continue
        from fbridge_cli.urls import refusing_urls  # what it needs is not needed for the help

        module, function = place.split(".")
        command = getattr(import_module(f"fbridge_cli.{module}"), function)
        if name == "weights":
            app.add_typer(command())
        else:
            app.command(name)(refusing_urls(name, command))
    return app


def main() -> None:
    """Run the command line and exit with its code."""
    if offline_variable():
        os.environ["HF_HUB_OFFLINE"] = "1"  # the hub's client knows no other variable
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
        app = build_app(None if COMPLETES in os.environ else args)
        code = app(args=args, prog_name="fbridge", standalone_mode=False)
    except exit_codes.Stopped as stop:
        if str(stop):
            ui.note(str(stop))
        # Ray's waits turn the interrupt of a signal into that of Ctrl-C.
        plain = stop.code == exit_codes.INTERRUPTED and signals
        return 128 + signals[-1] if plain else stop.code
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
