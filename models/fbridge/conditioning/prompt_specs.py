"""How each family of models had its prompts read by its text encoder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple


class PromptSpec(NamedTuple):
    """How a family of models had its prompts read.

    Attributes:
        tokens: of a prompt; what is beyond is cut.
        filled: prompts are filled up to so many tokens before they are read, and the encoder is not
            told which are fillers.
        kept: the fillers' embeddings are words like all others.
        paired: a second encoder's one vector goes before the words (`PairTextEncoder`).
        filler: number of the token that fills prompts up; None is the tokenizer's own.
    """

    tokens: int
    filled: bool = False
    kept: bool = False
    paired: bool = False
    filler: int | None = None


PROMPT_SPECS = {
    "CogVideoXPipeline": PromptSpec(226, filled=True, kept=True),
    "LTXPipeline": PromptSpec(128, filled=True),
    "WanPipeline": PromptSpec(512),
    "LattePipeline": PromptSpec(120),
    "AnimateDiffPipeline": PromptSpec(77, filled=True, kept=True),
    "StableDiffusionPipeline": PromptSpec(77, filled=True, kept=True),
    "VideoCrafterUNet": PromptSpec(77, filled=True, kept=True, filler=0),
    "HunyuanVideoPipeline": PromptSpec(256, paired=True),
}
"""By the class of diffusers' pipeline that a text encoder is part of; of none, by the network's."""


def prompt_spec_of(folder: Path) -> PromptSpec | None:
    """How the pipeline in a folder reads prompts, as far as its class or its index tells."""
    try:
        index = json.loads((folder / "model_index.json").read_text("utf-8"))
        told = index.get("reading")
        return PROMPT_SPECS.get(index.get("_class_name")) if told is None else PromptSpec(*told)
    except (OSError, ValueError, AttributeError, TypeError):
        return None
