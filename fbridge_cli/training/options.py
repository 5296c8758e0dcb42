"""The options of the training commands: few, since the configuration file holds the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

OBJECTIVES = ("bridge", "diffusion")
PRIORS = ("repeat", "motion")
DEVICES = ("auto", "cpu", "cuda")
PRESETS = ("tiny", "latte-s2", "latte-b2")
"""The names of `fbridge.backbones.scratch.PRESETS`, repeated so that checking needs no torch."""
_WHAT, _HOW, _WORK, _TELL = "What is trained", "How", "The run", "What is told"

ConfigFile: TypeAlias = Annotated[
    Path | None,
    typer.Argument(
        metavar="CONFIG.toml",
        show_default=False,
        help="The configuration; else ./fbridge.toml if there is one. fbridge config prints one "
        "with all keys.",
    ),
]
Base: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        rich_help_panel=_WHAT,
        help="A text-to-video .safetensors file (t2v.safetensors comes with fbridge), a pipeline's "
        "folder or hub id, embedded, or scratch:tiny, scratch:latte-s2, scratch:latte-b2.",
    ),
]
Components: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="DIR",
        rich_help_panel=_WHAT,
        help="Pipeline folder or hub id with VAE, scheduler and text encoder for a base that is "
        "bare weights; else what lies beside them, or in the hub's cache.",
    ),
]
Download: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--download",
        rich_help_panel=_WHAT,
        help="Fetch from the hub what bare weights lack.",
    ),
]
Data: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="DIR",
        rich_help_panel=_WHAT,
        help="A data set of fbridge prepare; demo is the built-in one, and the default.",
    ),
]
Prior: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|RUN",
        rich_help_panel=_WHAT,
        help="Where bridges start: repeat (the picture standing still), motion (moved by the "
        "embedded model), or a run of fbridge train-prior \\[default: the base's own, "
        "else repeat]",
    ),
]
Objective: TypeAlias = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=_WHAT,
        autocompletion=lambda: list(OBJECTIVES),
        help="bridge, or diffusion: its twin, which differs in starting from noise alone "
        "\\[default: bridge]",
    ),
]
NoAlign: TypeAlias = Annotated[
    bool,
    typer.Option("--no-align", rich_help_panel=_WHAT, help="Without SNR alignment: the ablation."),
]
Lora: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--lora",
        metavar="RANK",
        rich_help_panel=_HOW,
        help="Train low-rank updates of so many dimensions instead of all weights.",
    ),
]
Loss: TypeAlias = Annotated[
    str | None, typer.Option(rich_help_panel=_HOW, help="mse or l1 \\[default: mse]")
]
Steps: TypeAlias = Annotated[
    int | None, typer.Option(rich_help_panel=_HOW, help="Optimiser steps.")
]
BatchSize: TypeAlias = Annotated[
    int | None, typer.Option(rich_help_panel=_HOW, help="Clips a process a step.")
]
Lr: TypeAlias = Annotated[
    float | None, typer.Option("--lr", rich_help_panel=_HOW, help="Learning rate.")
]
Seed: TypeAlias = Annotated[
    int | None, typer.Option(rich_help_panel=_HOW, help="Of everything that is drawn.")
]
Recipe: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        rich_help_panel=_HOW,
        help="Numbers to begin with; fbridge config --recipes lists them.",
    ),
]
Set: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        rich_help_panel=_HOW,
        help="Any key of the configuration, such as --set train.precision=bf16; repeatable.",
    ),
]
Out: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--out",
        "-o",
        metavar="RUN",
        rich_help_panel=_WORK,
        help="The run's folder; else the next free one below runs/.",
    ),
]
Resume: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--resume", rich_help_panel=_WORK, help="Go on from the run's newest whole checkpoint."
    ),
]
AcceptChanges: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--accept-changes",
        rich_help_panel=_WORK,
        help="With --resume: go on with another learning rate, batch size and the like.",
    ),
]
Device: TypeAlias = Annotated[
    str,
    typer.Option(
        rich_help_panel=_WORK,
        autocompletion=lambda: list(DEVICES),
        help="auto is an accelerator where there is one; cpu never; cuda must be there.",
    ),
]
DryRun: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        rich_help_panel=_TELL,
        help="Show the configuration, parameters, memory and time a step of one probed step; stop.",
    ),
]
Json: TypeAlias = Annotated[
    bool, typer.Option("--json", rich_help_panel=_TELL, help="Print JSON for programs.")
]
