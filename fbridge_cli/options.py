"""Options that several commands share, and the names of the panels of `--help`.

Every option of every command is in one of five panels: Input, Model, Sampling, Memory, Output.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

from fbridge.choices import CASTS, DEVICES, DTYPES, OFFLOADS, QUANTIZES

INPUT, MODEL, SAMPLING, MEMORY, OUTPUT = "Input", "Model", "Sampling", "Memory", "Output"

Components: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="DIR",
        rich_help_panel=MODEL,
        help="Folder with vae/, scheduler/, text_encoder/ ... for a model that is weights alone.",
    ),
]
Download: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--download", rich_help_panel=MODEL, help="Fetch from the hub what such weights lack."
    ),
]
Device: TypeAlias = Annotated[
    str,
    typer.Option(
        rich_help_panel=MEMORY,
        autocompletion=lambda: list(DEVICES),
        help=f"{', '.join(DEVICES)}, or one of several: cuda:1.",
    ),
]
Dtype: TypeAlias = Annotated[
    str,
    typer.Option(
        rich_help_panel=MEMORY, autocompletion=lambda: list(DTYPES), help=f"{', '.join(DTYPES)}."
    ),
]
Offload: TypeAlias = Annotated[
    str,
    typer.Option(
        rich_help_panel=MEMORY,
        autocompletion=lambda: list(OFFLOADS),
        help="model: a network is on the GPU only while it computes; group: a layer (slowest).",
    ),
]
Quantize: TypeAlias = Annotated[
    str,
    typer.Option(
        rich_help_panel=MEMORY,
        autocompletion=lambda: list(QUANTIZES),
        help="Transformer in int8 (needs torchao) or nf4 (needs bitsandbytes).",
    ),
]
Cast: TypeAlias = Annotated[
    str,
    typer.Option(
        rich_help_panel=MEMORY,
        autocompletion=lambda: list(CASTS),
        help="float8: store the transformer's weights so, and compute in --dtype.",
    ),
]
Attention: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        rich_help_panel=MEMORY,
        help="Attention backend as diffusers names it: native, flash, sage, xformers, ...",
    ),
]
VaeTiling: TypeAlias = Annotated[
    bool,
    typer.Option("--vae-tiling", rich_help_panel=MEMORY, help="Encode and decode frames in tiles."),
]
VaeSlicing: TypeAlias = Annotated[
    bool,
    typer.Option("--vae-slicing", rich_help_panel=MEMORY, help="Encode and decode one by one."),
]
DryRun: TypeAlias = Annotated[
    bool, typer.Option("--dry-run", rich_help_panel=OUTPUT, help="Show the plan and stop.")
]
Json: TypeAlias = Annotated[
    bool, typer.Option("--json", rich_help_panel=OUTPUT, help="Print JSON for programs.")
]
