"""Options that several commands share, and the five panels of `--help`.

Every option of every command is in one of the panels Input, Model, Sampling, Memory and Output.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, TypeAlias

import typer

from fbridge.choices import (
    BOTH,
    CASTS,
    DEVICES,
    DTYPES,
    ENGINES,
    EXPERTS,
    IMAGE_INPUTS,
    OFFLOADS,
    QUANTIZES,
)

INPUT, MODEL, SAMPLING, MEMORY, OUTPUT = "Input", "Model", "Sampling", "Memory", "Output"


def option(
    default: Any, panel: str, text: str, *names: str, known: Sequence[str] = (), **more: Any
) -> Any:
    """A Typer option, as the default of a parameter or inside `Annotated`.

    Args:
        default: of the parameter; `...` inside `Annotated`.
        panel: where `--help` lists it.
        text: its help.
        names: such as "--prompt", "-p"; none takes the parameter's name, or two for a flag.
        known: values that the shell completes.
        more: further arguments of `typer.Option`, such as `metavar`.
    """
    if known:
        more["autocompletion"] = lambda: list(known)
    return typer.Option(default, *names, rich_help_panel=panel, help=text, **more)


Components: TypeAlias = Annotated[
    str | None,
    option(
        ...,
        MODEL,
        "Folder with vae/, scheduler/, text_encoder/ ... for a model that is weights alone.",
        metavar="DIR",
    ),
]
Base: TypeAlias = Annotated[
    str | None,
    option(
        ...,
        MODEL,
        "Where the base of an adapter (LoRA) lies now, if not where it was.",
        "--base",
        metavar="MODEL",
    ),
]
Lora: TypeAlias = Annotated[
    list[str] | None,
    option(
        ...,
        MODEL,
        "LoRA file of the text-to-video model, merged into it; weight 1 if none is given; of a "
        "pair of networks @low or @high where its name does not tell which; repeatable.",
        "--lora",
        metavar="FILE[:WEIGHT][@NETWORK]",
    ),
]
Expert: TypeAlias = Annotated[
    str | None,
    option(
        ...,
        MODEL,
        "low or high: the one network of a pair (Wan 2.2 A14B) for little or for much noise, where "
        "the file's name does not tell, or of a folder with both.",
        "--expert",
        known=EXPERTS,
    ),
]
ExpertOrBoth: TypeAlias = Annotated[
    str | None,
    option(
        ...,
        MODEL,
        "low or high: the one network of a pair (Wan 2.2 A14B) for little or for much noise, where "
        "the file's name does not tell, or of a folder with both; both: the pair of the file and "
        "of the other network's beside it, named alike.",
        "--expert",
        known=(*EXPERTS, BOTH),
    ),
]
Download: TypeAlias = Annotated[
    bool, option(..., MODEL, "Fetch from the hub what such weights lack.", "--download")
]
ImageInput: TypeAlias = Annotated[
    str | None,
    option(
        ...,
        MODEL,
        "How the network gets the picture: native, as first frame (Wan 2.2 5B, LTX-Video), bridge, "
        "or both; else the model's.",
        "--image-input",
        known=IMAGE_INPUTS,
    ),
]
Data: TypeAlias = Annotated[
    str | None,
    option(
        ...,
        INPUT,
        "A data set of fbridge prepare, also its URL; demo is the built-in one, of "
        "t2v.safetensors' latents, and the default.",
        metavar="DIR",
    ),
]
CacheSize: TypeAlias = Annotated[
    str | None,
    option(
        ...,
        MEMORY,
        "Room on this machine for the shards of a data set behind a URL \\[default: 10GB]",
        metavar="SIZE",
    ),
]
Offload: TypeAlias = Annotated[
    str,
    option(
        ...,
        MEMORY,
        "model: a network is on the GPU only while it computes; group: a layer (slowest).",
        known=OFFLOADS,
    ),
]
Quantize: TypeAlias = Annotated[
    str,
    option(
        ...,
        MEMORY,
        "Transformer in int8 (needs torchao) or nf4 (needs bitsandbytes).",
        known=QUANTIZES,
    ),
]
Cast: TypeAlias = Annotated[
    str,
    option(
        ...,
        MEMORY,
        "float8: keep the weights of the transformer's blocks so, with scales; compute in --dtype.",
        known=CASTS,
    ),
]
Attention: TypeAlias = Annotated[
    str | None,
    option(
        ...,
        MEMORY,
        "Attention backend as diffusers names it: native, flash, sage, xformers, ...",
        metavar="NAME",
    ),
]
StepCache: TypeAlias = Annotated[
    str,
    option(
        ...,
        MEMORY,
        "Leave blocks out of steps that are nearly like those before: first-block[:THRESHOLD], "
        "taylorseer[:STEPS] or magcache[:THRESHOLD]; faster, and another video.",
        "--cache",
        metavar="NAME[:NUMBER]",
    ),
]
VaeTiling: TypeAlias = Annotated[
    bool, option(..., MEMORY, "Encode and decode frames in tiles.", "--vae-tiling")
]
VaeSlicing: TypeAlias = Annotated[
    bool, option(..., MEMORY, "Encode and decode one by one.", "--vae-slicing")
]
Device: TypeAlias = Annotated[
    str, option(..., MEMORY, f"{', '.join(DEVICES)}, or one of several: cuda:1.", known=DEVICES)
]
Dtype: TypeAlias = Annotated[str, option(..., MEMORY, f"{', '.join(DTYPES)}.", known=DTYPES)]
Engine: TypeAlias = Annotated[
    str,
    option(
        ...,
        MEMORY,
        "local: processes of this machine; ray: a cluster of machines, which see the same files.",
        metavar="local|ray",
        known=ENGINES,
    ),
]
RayAddress: TypeAlias = Annotated[
    str | None,
    option(
        ...,
        MEMORY,
        "HOST:PORT of the Ray cluster, or local to start one here; by default RAY_ADDRESS or one "
        "that runs here.",
        metavar="ADDRESS",
    ),
]
GpuShare: TypeAlias = Annotated[
    float | None,
    option(
        ...,
        MEMORY,
        "With ray, of a GPU for each network; 0.5 puts two on one \\[default: 1]",
        metavar="SHARE",
    ),
]
DryRun: TypeAlias = Annotated[bool, option(..., OUTPUT, "Show the plan and stop.", "--dry-run")]
Json: TypeAlias = Annotated[bool, option(..., OUTPUT, "Print JSON for programs.", "--json")]
