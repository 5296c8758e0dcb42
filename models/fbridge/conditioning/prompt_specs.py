"""How each family of models had its prompts read by its text encoder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple


class PromptSpec(NamedTuple):
    """How a family of models had its prompts read.

    Attributes:
        max_tokens: of a prompt; what is beyond is cut.
        padded: prompts are filled up to so many tokens before they are read, and the encoder is not
            told which are fillers.
        keep_padding: the fillers' embeddings are words like all others.
        pooled_first: a second encoder's one vector goes before the words (`PairTextEncoder`).
        pad_token: number of the token that fills prompts up; None is the tokenizer's own.
    """

    max_tokens: int
    padded: bool = False
    keep_padding: bool = False
    pooled_first: bool = False
    pad_token: int | None = None


PROMPT_SPECS = {
    "CogVideoXPipeline": PromptSpec(226, padded=True, keep_padding=True),
    "LTXPipeline": PromptSpec(128, padded=True),
    "WanPipeline": PromptSpec(512),
    "LattePipeline": PromptSpec(120),
    "AnimateDiffPipeline": PromptSpec(77, padded=True, keep_padding=True),
    "StableDiffusionPipeline": PromptSpec(77, padded=True, keep_padding=True),
    "VideoCrafterUNet": PromptSpec(77, padded=True, keep_padding=True, pad_token=0),
    "HunyuanVideoPipeline": PromptSpec(256, pooled_first=True),
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
