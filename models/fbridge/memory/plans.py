"""What is to be estimated: ways to make videos and to train, and what makes them need less."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

BYTES = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0, "float8": 1.0, "int8": 1.0, "nf4": 0.56}
"""Of a number; nf4 with the scales of its blocks."""
STATE = {"adamw": 8.0, "schedule-free": 8.0, "adamw-8bit": 2.0}
"""Bytes that an optimiser keeps of a trained number."""


class ClipShape(NamedTuple):
    """A video's numbers in pixels."""

    frames: int
    width: int
    height: int


@dataclass(frozen=True)
class GenerationPlan:
    """How videos are to be made.

    Attributes:
        clip: of the videos.
        batch: videos at a time.
        steps: of the sampler.
        guided: whether words have another weight than one, which takes two passes a step.
        dtype: of the networks.
        offload, tiling: as `fbridge.memory.options.MemoryOptions` has them.
        kept: how the transformer's weights are: "float8", "int8", "nf4", or "" as the others.
    """

    clip: ClipShape
    batch: int = 1
    steps: int = 30
    guided: bool = True
    dtype: str = "float32"
    offload: str = "none"
    tiling: bool = False
    kept: str = ""


@dataclass(frozen=True)
class TrainingPlan:
    """How a network is to be trained.

    Attributes:
        clip: of the data.
        batch: clips at a time.
        steps: micro-steps of the run.
        precision: "float32", "bfloat16" or "float16".
        rank: of the updates (LoRA); 0 trains all.
        kept: how frozen weights are: "int8", "nf4", or "" in the precision of the arithmetic.
        checkpointing: whether activations are computed twice instead of kept.
        optimizer: as the configuration names it.
        averaged: whether an average is kept.
        parts: besides the latents, that the network is shown.
    """

    clip: ClipShape
    batch: int = 1
    steps: int = 1000
    precision: str = "float32"
    rank: int = 0
    kept: str = ""
    checkpointing: bool = False
    optimizer: str = "adamw"
    averaged: bool = True
    parts: int = 1


class Requirements(NamedTuple):
    """What something needs.

    Attributes:
        memory: bytes at the peak.
        seconds: of a clip to prepare, a training step, or a video; None where nothing was probed.
        parts: bytes by what they are for.
    """

    memory: int
    seconds: float | None
    parts: dict[str, int]


def cheaper_ways_to_generate(
    how: GenerationPlan, *, accelerated: bool
) -> list[tuple[str, GenerationPlan]]:
    """Switches that need less and less memory, each on top of those before it."""
    steps: list[tuple[str, dict[str, Any]]] = []
    if how.dtype == "float32" and accelerated:
        steps.append(("--dtype bfloat16", {"dtype": "bfloat16"}))
    if how.batch > 1:
        steps.append(("--batch-size 1", {"batch": 1}))
    if accelerated and how.offload == "none":
        steps.append(("--offload model", {"offload": "model"}))
    if not how.tiling:
        steps.append(("--vae-tiling", {"tiling": True}))
    if not how.kept:
        steps.append(("--quantize int8", {"kept": "int8"}))
        steps.append(("--quantize nf4", {"kept": "nf4"}))
    if accelerated and how.offload != "group":
        steps.append(("--offload group", {"offload": "group"}))
    return _cumulated(how, steps)


def cheaper_ways_to_train(how: TrainingPlan) -> list[tuple[str, TrainingPlan]]:
    """Keys that need less and less memory, each on top of those before it."""
    steps: list[tuple[str, dict[str, Any]]] = []
    if how.precision == "float32":
        steps.append(("train.precision=bf16", {"precision": "bfloat16"}))
    if not how.checkpointing:
        steps.append(("train.gradient_checkpointing=true", {"checkpointing": True}))
    if how.batch > 1:
        steps.append(("train.batch_size=1", {"batch": 1}))
    if how.optimizer == "adamw" and not how.rank:
        steps.append(("train.optimizer=adamw-8bit", {"optimizer": "adamw-8bit"}))
    if not how.rank:
        steps.append(("lora.rank=16", {"rank": 16, "optimizer": how.optimizer}))
    if not how.kept:
        steps.append(("lora.quantize=int8", {"kept": "int8"}))
        steps.append(("lora.quantize=nf4", {"kept": "nf4"}))
    return _cumulated(how, steps)


def _cumulated(how: Any, steps: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, Any]]:
    found = []
    for name, change in steps:
        how = replace(how, **change)
        found.append((name, how))
    return found
