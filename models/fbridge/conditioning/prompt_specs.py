"""How each family of models encodes its prompts."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from fbridge.errors import CheckpointError
from fbridge.files.configs import read_json


class PromptSpec(NamedTuple):
    """How a family of models encodes its prompts.

    Attributes:
        max_tokens: of a prompt; what is beyond is cut.
        padded: prompts are padded to `max_tokens`, and the encoder gets no attention mask.
        keep_padding: the embeddings of padding tokens are part of the prompt's.
        pooled_first: a second encoder's pooled vector is the first row (`PairTextEncoder`).
        pad_token: id of the padding token; None is the tokenizer's own.
    """

    max_tokens: int
    padded: bool = False
    keep_padding: bool = False
    pooled_first: bool = False
    pad_token: int | None = None


PROMPT_SPECS = {
    "CogVideoXPipeline": PromptSpec(226, padded=True, keep_padding=True),
    "LTXPipeline": PromptSpec(128, padded=True),
    "LTXImageToVideoPipeline": PromptSpec(128, padded=True),
    "LTXConditionPipeline": PromptSpec(256),
    "WanPipeline": PromptSpec(512),
    "SkyReelsV2Pipeline": PromptSpec(512),
    "LattePipeline": PromptSpec(120),
    "AnimateDiffPipeline": PromptSpec(77, padded=True, keep_padding=True),
    "StableDiffusionPipeline": PromptSpec(77, padded=True, keep_padding=True),
    "VideoCrafterUNet": PromptSpec(77, padded=True, keep_padding=True, pad_token=0),
    "HunyuanVideoPipeline": PromptSpec(256, pooled_first=True),
}
"""By the class of the diffusers pipeline; of a network without one, by the network's class."""


def prompt_spec_of(folder: Path) -> PromptSpec | None:
    """How the pipeline in a folder encodes prompts, by its class or its index; None if unknown."""
    with suppress(CheckpointError, TypeError):
        index = read_json(folder / "model_index.json")
        own = index.get("reading")
        return PROMPT_SPECS.get(str(index.get("_class_name"))) if own is None else PromptSpec(*own)
    return None
