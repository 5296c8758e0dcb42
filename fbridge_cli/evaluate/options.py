"""The options of `fbridge eval`: their names, their words of help, their panels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

_WHAT, _HOW, _WORK, _TELL = (
    "What is measured",
    "By which protocol",
    "How it is done",
    "What is told",
)

DEVICES = ("auto", "cpu", "cuda", "mps", "xpu")

Generated: TypeAlias = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[GENERATED]...",
        show_default=False,
        help="A folder of videos or of folders of frames, a list of videos, or a prepared data "
        "set; else fbridge.toml, the latest run below runs/, or the embedded model's demo. Several "
        "with --study; files of answers with --study-results.",
    ),
]
Reference: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--reference",
        "-r",
        metavar="REAL",
        rich_help_panel=_WHAT,
        help="The real videos, likewise; paired with the generated ones by name.",
    ),
]
Metrics: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--metric",
        "-m",
        metavar="NAME",
        rich_help_panel=_WHAT,
        help="A metric, or several with commas; may come again. --list tells all.",
    ),
]
Pictures: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        rich_help_panel=_WHAT,
        help="The pictures that videos were made from, by name; else as the videos' records say, "
        "else the first frames of their real ones.",
    ),
]
Codec: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--codec",
        metavar="CODEC",
        rich_help_panel=_WHAT,
        help="Also score real videos after this codec's round trip: the best a model could do.",
    ),
]
Baselines: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--baselines/--no-baselines",
        rich_help_panel=_WHAT,
        help="Score real videos against real ones, still pictures and shuffled frames too.",
    ),
]
ProtocolName: TypeAlias = Annotated[
    str,
    typer.Option(
        "--protocol",
        metavar="NAME",
        rich_help_panel=_HOW,
        help="stylegan-v, tf, ucf101-zero-shot or msrvtt-zero-shot; --list tells what they are.",
    ),
]
Frames: TypeAlias = Annotated[
    int | None,
    typer.Option(metavar="N", rich_help_panel=_HOW, help="Frames of a clip; else the protocol's."),
]
Stride: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="N", rich_help_panel=_HOW, help="Every N-th frame, on both sides; else likewise."
    ),
]
Size: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="WxH",
        rich_help_panel=_HOW,
        help="Size at which frames are compared; else the protocol's, or the generated videos'.",
    ),
]
Clips: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="N", rich_help_panel=_HOW, help="At most so many a side, drawn by --seed."
    ),
]
Seed: TypeAlias = Annotated[
    int | None, typer.Option(metavar="N", rich_help_panel=_HOW, help="Of draws and starts.")
]
Weights: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=FILE",
        rich_help_panel=_WORK,
        help="Where a network's weights are: i3d=i3d.ckpt; see fbridge weights list.",
    ),
]
SkipBad: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--skip-bad",
        rich_help_panel=_WORK,
        help="Leave out videos that are damaged, too short, copies or without a namesake.",
    ),
]
Workers: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        rich_help_panel=_WORK,
        help="Processes that decode and compute, each with one thread; 0 is none beside this one "
        "\\[default: the cores]",
    ),
]
Device: TypeAlias = Annotated[
    str,
    typer.Option(
        rich_help_panel=_WORK, autocompletion=lambda: list(DEVICES), help=", ".join(DEVICES)
    ),
]
Cache: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        rich_help_panel=_WORK,
        help="Where features are kept, so that none is computed twice; else in the user's cache.",
    ),
]
Title: TypeAlias = Annotated[
    str, typer.Option(metavar="TEXT", rich_help_panel=_TELL, help="Heading of the result.")
]
Out: TypeAlias = Annotated[
    list[Path] | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE",
        rich_help_panel=_TELL,
        help="Also write the table: .csv, .md, .tex, or all of the result: .json; may come again.",
    ),
]
HtmlReport: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="FILE.html",
        rich_help_panel=_TELL,
        help="One page with the numbers, curves, and the best and worst clips playing.",
    ),
]
VBenchFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--vbench",
        metavar="FILE.json",
        rich_help_panel=_TELL,
        help="The measured VBench-I2V dimensions in VBench's own form.",
    ),
]
Compare: TypeAlias = Annotated[
    tuple[Path, Path] | None,
    typer.Option(
        metavar="A.json B.json",
        rich_help_panel=_TELL,
        help="Compare two results of the same clips and protocol, clip by clip.",
    ),
]
Study: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        rich_help_panel=_TELL,
        help="Write a page that asks people which of two videos is better; give two GENERATED or "
        "more.",
    ),
]
Question: TypeAlias = Annotated[
    str | None, typer.Option(metavar="TEXT", rich_help_panel=_TELL, help="What --study asks.")
]
StudyResults: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--study-results",
        rich_help_panel=_TELL,
        help="Analyse answers: fbridge eval --study-results --study DIR answers*.json",
    ),
]
ListAll: TypeAlias = Annotated[
    bool, typer.Option("--list", rich_help_panel=_TELL, help="All metrics and protocols.")
]
Json: TypeAlias = Annotated[
    bool, typer.Option("--json", rich_help_panel=_TELL, help="The result as JSON on stdout.")
]
