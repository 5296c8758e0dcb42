"""The options of `fbridge generate`: their names, their words of help, their panels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from fbridge.choices import (
    CASTS,
    DEVICES,
    DTYPES,
    EMBEDDED,
    FORMATS,
    GRIDS,
    OFFLOADS,
    QUANTIZES,
    SAMPLERS,
    STARTS,
)

_WHAT, _HOW, _WHERE, _TELL = "What happens", "How it is made", "Where it goes", "What is told"
_FIT = "Large models in little memory"

Images: TypeAlias = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="IMAGE",
        show_default=False,
        help="Pictures, folders of pictures, or .csv/.jsonl lists with the columns image, prompt, "
        "negative, seed (a list names pictures relative to itself).",
    ),
]
Prompt: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--prompt",
        "-p",
        metavar="TEXT",
        rich_help_panel=_WHAT,
        help="What shall happen; repeat for more videos.",
    ),
]
Negative: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="TEXT",
        rich_help_panel=_WHAT,
        show_default=False,
        help="What shall not happen; has no effect at guidance 1, so add --guidance 2.",
    ),
]
Seed: TypeAlias = Annotated[
    list[int] | None,
    typer.Option(
        rich_help_panel=_WHAT,
        help="Random seed; the same seed gives the same video \\[default: 0]",
    ),
]
Num: TypeAlias = Annotated[
    int,
    typer.Option(
        rich_help_panel=_WHAT, help="Videos of each picture and prompt, counting up from the seed."
    ),
]
From: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="VIDEO",
        rich_help_panel=_WHAT,
        help="Make this video once more, from the record that it carries.",
    ),
]
ModelName: TypeAlias = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=_HOW,
        autocompletion=lambda: [EMBEDDED],
        help=f"{EMBEDDED} (the default), a folder, a hub id, or a text-to-video base, untrained.",
    ),
]
Frames: TypeAlias = Annotated[
    int | None,
    typer.Option(
        rich_help_panel=_HOW,
        help="How many frames; the embedded model makes 2 to 96 \\[default: 32]",
    ),
]
Fps: TypeAlias = Annotated[
    float | None, typer.Option(rich_help_panel=_HOW, help="Frames a second; else the model's.")
]
Size: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="WxH",
        rich_help_panel=_HOW,
        help="Such as 512x320; else as near the picture's as the model makes.",
    ),
]
Steps: TypeAlias = Annotated[
    int | None, typer.Option(rich_help_panel=_HOW, help="Sampling steps; else the model's.")
]
SamplerName: TypeAlias = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=_HOW,
        autocompletion=lambda: list(SAMPLERS),
        help=f"{', '.join(SAMPLERS)}; else the model's.",
    ),
]
Eta: TypeAlias = Annotated[
    float | None,
    typer.Option(
        rich_help_panel=_HOW, help="Share of fresh noise, from 0 to 1, for --sampler dbim."
    ),
]
Grid: TypeAlias = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=_HOW,
        autocompletion=lambda: list(GRIDS),
        help=f"Where the steps lie in time: {', '.join(GRIDS)}; else the model's.",
    ),
]
StartAt: TypeAlias = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=_HOW,
        autocompletion=lambda: list(STARTS),
        help=f"How the bridge starts: {', '.join(STARTS)}; else the model's.",
    ),
]
Strength: TypeAlias = Annotated[
    float | None,
    typer.Option(
        rich_help_panel=_HOW,
        help="Share of the way at which the bridge starts; less moves less; else the model's.",
    ),
]
Components: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="DIR",
        rich_help_panel=_HOW,
        help="Folder with vae/, scheduler/, text_encoder/ ... for a --model that is weights alone.",
    ),
]
Download: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--download", rich_help_panel=_HOW, help="Fetch from the hub what such weights lack."
    ),
]
Offload: TypeAlias = Annotated[
    str,
    typer.Option(
        rich_help_panel=_FIT,
        autocompletion=lambda: list(OFFLOADS),
        help="model: networks are on the GPU while they work; group: layers are (slowest).",
    ),
]
Quantize: TypeAlias = Annotated[
    str,
    typer.Option(
        rich_help_panel=_FIT,
        autocompletion=lambda: list(QUANTIZES),
        help="Transformer in int8 (needs torchao) or nf4 (needs bitsandbytes).",
    ),
]
Cast: TypeAlias = Annotated[
    str,
    typer.Option(
        rich_help_panel=_FIT,
        autocompletion=lambda: list(CASTS),
        help="float8: keep the transformer's weights so, and compute in --dtype.",
    ),
]
Attention: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        rich_help_panel=_FIT,
        help="How attention is computed: native, flash, sage, xformers, ... as diffusers names it.",
    ),
]
VaeTiling: TypeAlias = Annotated[
    bool,
    typer.Option("--vae-tiling", rich_help_panel=_FIT, help="Encode and decode frames in tiles."),
]
VaeSlicing: TypeAlias = Annotated[
    bool,
    typer.Option("--vae-slicing", rich_help_panel=_FIT, help="Encode and decode one by one."),
]
Guidance: TypeAlias = Annotated[
    float | None,
    typer.Option(
        rich_help_panel=_HOW,
        help="Weight of the words; 1 is none (and --negative has no effect); else the model's.",
    ),
]
ImageGuidance: TypeAlias = Annotated[
    float | None,
    typer.Option(rich_help_panel=_HOW, help="Weight of the picture; 1 is none; else the model's."),
]
Device: TypeAlias = Annotated[
    str,
    typer.Option(
        rich_help_panel=_HOW,
        autocompletion=lambda: list(DEVICES),
        help=f"{', '.join(DEVICES)}, or one of several: cuda:1.",
    ),
]
Dtype: TypeAlias = Annotated[
    str,
    typer.Option(
        rich_help_panel=_HOW, autocompletion=lambda: list(DTYPES), help=f"{', '.join(DTYPES)}."
    ),
]
BatchSize: TypeAlias = Annotated[
    int, typer.Option(rich_help_panel=_HOW, help="Videos made at the same time.")
]
Out: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--out",
        "-o",
        metavar="PATH",
        rich_help_panel=_WHERE,
        help="A file such as jump.mp4, or a folder; else here, under the picture's name.",
    ),
]
Format: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--format",
        rich_help_panel=_WHERE,
        autocompletion=lambda: list(FORMATS),
        help="mp4 (the default), gif, webp, or png: a folder of frames.",
    ),
]
Overwrite: TypeAlias = Annotated[
    bool, typer.Option("--overwrite", rich_help_panel=_WHERE, help="Replace videos that exist.")
]
NoMetadata: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--no-metadata",
        rich_help_panel=_WHERE,
        help="Leave out the record: inside the video, and the .json beside it.",
    ),
]
DryRun: TypeAlias = Annotated[
    bool, typer.Option("--dry-run", rich_help_panel=_TELL, help="Show the plan and stop.")
]
Json: TypeAlias = Annotated[
    bool, typer.Option("--json", rich_help_panel=_TELL, help="Print JSON for programs.")
]
