"""The options of `fbridge prepare`: their names, their words of help, their panels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from fbridge_cli.checks import DEVICES, DTYPES, EMBEDDED
from fbridge_cli.prepare.parse import CAPTIONLESS, DECODERS, MODES

LAYOUTS = ("folder", "videofolder", "lists", "table", "webvid", "ucf101", "msrvtt", "webdataset")
"""`fbridge.data.sources.LAYOUTS`, repeated so that help need not import what reads them."""

_READ, _CLIPS, _WORDS = "What is read", "Which clips are cut", "Captions"
_CODE, _WORK, _TELL = "How they are encoded", "How the work is done", "What is told"

Source: TypeAlias = Annotated[
    Path | None,
    typer.Argument(
        metavar="SOURCE",
        show_default=False,
        help="A folder of videos, or a list of them: .csv, .jsonl, .parquet, .json or .tar.",
    ),
]
Out: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--out",
        "-o",
        metavar="DIR",
        rich_help_panel=_READ,
        help="The data set's folder; a finished one is added to, an unfinished one gone on with.",
    ),
]
LayoutName: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--layout",
        metavar="NAME",
        rich_help_panel=_READ,
        autocompletion=lambda: list(LAYOUTS),
        help=f"How SOURCE is ordered: {', '.join(LAYOUTS)}; else it is found out.",
    ),
]
MediaRoot: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        rich_help_panel=_READ,
        help="Where the videos of a list lie; else beside it.",
    ),
]
Frames: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="N",
        rich_help_panel=_CLIPS,
        help="Frames of a clip; of several lengths, 16,32, a file gets the longest it has room "
        "for \\[default: 16]",
    ),
]
Stride: TypeAlias = Annotated[
    int | None,
    typer.Option(metavar="N", rich_help_panel=_CLIPS, help="Take every N-th frame \\[default: 1]"),
]
Fps: TypeAlias = Annotated[
    float | None,
    typer.Option(
        metavar="R",
        rich_help_panel=_CLIPS,
        help="Take R frames a second, by their times; instead of --stride.",
    ),
]
Size: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="WxH",
        rich_help_panel=_CLIPS,
        help="The picture is shrunk to cover it, its middle kept \\[default: 256x256]",
    ),
]
Buckets: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="SPEC",
        rich_help_panel=_CLIPS,
        autocompletion=lambda: ["auto"],
        help="auto: the usual aspect ratios at about the area of --size; or shapes such as "
        "512x320x16,320x512x16 (width, height, frames). A file goes where the least is cut off.",
    ),
]
Clips: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="WHICH",
        rich_help_panel=_CLIPS,
        autocompletion=lambda: list(MODES),
        help="Of each file: head, middle, uniform:K (K of them) or slide:STEP (one every STEP "
        "taken frames).",
    ),
]
MinSeconds: TypeAlias = Annotated[
    float,
    typer.Option(
        metavar="S", rich_help_panel=_CLIPS, show_default=False, help="Drop shorter files."
    ),
]
DropStill: TypeAlias = Annotated[
    bool,
    typer.Option("--drop-still", rich_help_panel=_CLIPS, help="Drop clips in which nothing moves."),
]
DropCuts: TypeAlias = Annotated[
    bool,
    typer.Option("--drop-cuts", rich_help_panel=_CLIPS, help="Drop clips across a scene cut."),
]
DropDuplicates: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--drop-duplicates", rich_help_panel=_CLIPS, help="Drop clips that were seen before."
    ),
]
NoCaption: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="keep|drop",
        rich_help_panel=_WORDS,
        autocompletion=lambda: list(CAPTIONLESS),
        help="Videos without a caption: keep them as unconditional ones, or drop them.",
    ),
]
CaptionPrefix: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="TEXT",
        rich_help_panel=_WORDS,
        show_default=False,
        help="Put before every caption, as it is written.",
    ),
]
CodecName: TypeAlias = Annotated[
    str,
    typer.Option(
        "--codec",
        metavar="NAME",
        rich_help_panel=_CODE,
        autocompletion=lambda: [EMBEDDED],
        help=f"{EMBEDDED}, or a diffusers VAE: its folder or hub id.",
    ),
]
TextEncoderName: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--text-encoder", metavar="NAME", rich_help_panel=_CODE, help="Else the usual one."
    ),
]
Dtype: TypeAlias = Annotated[
    str,
    typer.Option(
        rich_help_panel=_CODE,
        autocompletion=lambda: list(DTYPES),
        help=f"Numbers that are stored: {', '.join(DTYPES)}.",
    ),
]
BatchSize: TypeAlias = Annotated[
    int, typer.Option(rich_help_panel=_CODE, help="Clips encoded at the same time.")
]
ShardSize: TypeAlias = Annotated[
    int,
    typer.Option(
        rich_help_panel=_CODE,
        help="Clips in a file; a killed run does at most one file's clips again.",
    ),
]
Device: TypeAlias = Annotated[
    str,
    typer.Option(
        rich_help_panel=_CODE,
        autocompletion=lambda: list(DEVICES),
        help=f"{', '.join(DEVICES)}, or one of several: cuda:1.",
    ),
]
Decoder: TypeAlias = Annotated[
    str,
    typer.Option(
        rich_help_panel=_WORK,
        autocompletion=lambda: list(DECODERS),
        help=f"What reads videos: {' or '.join(DECODERS)}.",
    ),
]
Workers: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        rich_help_panel=_WORK,
        help="Processes that read videos; else one a core, at most 8.",
    ),
]
TimeLimit: TypeAlias = Annotated[
    float,
    typer.Option(
        metavar="SECONDS", rich_help_panel=_WORK, help="Give a file up after so much time."
    ),
]
MaxBad: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="PERCENT",
        rich_help_panel=_WORK,
        help="Files that may be rejected before it is an error (exit code 3); 100% goes on "
        "whatever there is.",
    ),
]
Verify: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        rich_help_panel=_TELL,
        help="Instead of preparing, hash a finished data set again and name what is damaged.",
    ),
]
Preview: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--preview",
        rich_help_panel=_TELL,
        help="Write DIR/preview: a contact sheet, and a decoded clip of every bucket.",
    ),
]
DryRun: TypeAlias = Annotated[
    bool, typer.Option("--dry-run", rich_help_panel=_TELL, help="Show the plan and stop.")
]
Json: TypeAlias = Annotated[
    bool, typer.Option("--json", rich_help_panel=_TELL, help="Print JSON for programs.")
]
