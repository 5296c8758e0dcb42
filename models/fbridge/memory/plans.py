"""Settings whose needs are estimated: of generation and training, and cheaper variants of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

BYTES = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0, "float8": 1.0, "int8": 1.0, "nf4": 0.56}
"""Bytes per weight; nf4 includes the scales of its blocks."""
STATE = {"adamw": 8.0, "schedule-free": 8.0, "adamw-8bit": 2.0}
"""Bytes of optimiser state per trained weight."""


class ClipShape(NamedTuple):
    """Frames, width and height of a video."""

    frames: int
    width: int
    height: int


@dataclass(frozen=True)
class GenerationPlan:
    """Settings of generation.

    Attributes:
        clip: shape of the videos.
        batch: videos per batch.
        steps: of the sampler.
        guided: with guidance, which takes two passes per step.
        dtype: of the networks.
        offload, tiling: as `fbridge.memory.options.MemoryOptions` has them.
        quantize: "float8", "int8", "nf4" for the transformer's weights; "": dtype.
    """

    clip: ClipShape
    batch: int = 1
    steps: int = 30
    guided: bool = True
    dtype: str = "float32"
    offload: str = "none"
    tiling: bool = False
    quantize: str = ""


@dataclass(frozen=True)
class TrainingPlan:
    """Settings of training.

    Attributes:
        clip: shape of the data.
        batch: clips per micro-step.
        steps: micro-steps of the run.
        precision: "float32", "bfloat16" or "float16".
        rank: of LoRA; 0: train all weights.
        dora: with magnitudes apart, which float8 does not go with.
        quantize: "float8", "int8", "nf4" for frozen weights; "": precision.
        checkpointing: gradient checkpointing.
        offloaded_blocks: number of blocks whose frozen weights are in the host's memory.
        offloaded_activations: what the backward pass needs is there.
        optimizer: value of train.optimizer.
        averaged: with an average of the weights.
        parts: number of inputs besides the latents, such as prior and picture.
    """

    clip: ClipShape
    batch: int = 1
    steps: int = 1000
    precision: str = "float32"
    rank: int = 0
    dora: bool = False
    quantize: str = ""
    checkpointing: bool = False
    offloaded_blocks: int = 0
    offloaded_activations: bool = False
    optimizer: str = "adamw"
    averaged: bool = True
    parts: int = 1


class Requirements(NamedTuple):
    """Memory and time of a computation.

    Attributes:
        memory: peak in bytes.
        seconds: per prepared clip, training step or batch of videos; None: speed unknown.
        parts: bytes by use.
    """

    memory: int
    seconds: float | None
    parts: dict[str, int]


def cheaper_ways_to_generate(
    plan: GenerationPlan, *, accelerated: bool
) -> list[tuple[str, GenerationPlan]]:
    """Options that reduce memory, each added to those before it, and the resulting plans."""
    steps: list[tuple[str, dict[str, Any]]] = []
    if plan.dtype == "float32" and accelerated:
        steps.append(("--dtype bfloat16", {"dtype": "bfloat16"}))
    if plan.batch > 1:
        steps.append(("--batch-size 1", {"batch": 1}))
    if accelerated and plan.offload == "none":
        steps.append(("--offload model", {"offload": "model"}))
    if not plan.tiling:
        steps.append(("--vae-tiling", {"tiling": True}))
    if not plan.quantize:
        steps.append(("--quantize int8", {"quantize": "int8"}))
        steps.append(("--quantize nf4", {"quantize": "nf4"}))
    if accelerated and plan.offload != "group":
        steps.append(("--offload group", {"offload": "group"}))
    return _cumulated(plan, steps)


def cheaper_ways_to_train(
    plan: TrainingPlan, *, blocks: int = 0, accelerated: bool = False
) -> list[tuple[str, TrainingPlan]]:
    """Keys that reduce memory, each added to those before it, and the resulting plans.

    Args:
        plan: to begin with.
        blocks: of the network.
        accelerated: what is kept in the host's memory is not in the device's.
    """
    steps: list[tuple[str, dict[str, Any]]] = []
    if plan.precision == "float32":
        steps.append(("train.precision=bf16", {"precision": "bfloat16"}))
    if not plan.checkpointing:
        steps.append(("train.gradient_checkpointing=true", {"checkpointing": True}))
    if plan.batch > 1:
        steps.append(("train.batch_size=1", {"batch": 1}))
    if plan.optimizer == "adamw" and not plan.rank:
        steps.append(("train.optimizer=adamw-8bit", {"optimizer": "adamw-8bit"}))
    if not plan.rank:
        steps.append(("lora.rank=16", {"rank": 16, "optimizer": plan.optimizer}))
    if not plan.quantize and not plan.dora:
        steps.append(("lora.quantize=float8", {"quantize": "float8"}))
    if accelerated:
        steps += _ways_to_offload(plan, blocks)
    if plan.quantize != "nf4":
        steps.append(("lora.quantize=nf4", {"quantize": "nf4"}))
    return _cumulated(plan, steps)


def _ways_to_offload(plan: TrainingPlan, blocks: int) -> list[tuple[str, dict[str, Any]]]:
    """Keys that keep in the host's memory what is on the device."""
    steps: list[tuple[str, dict[str, Any]]] = []
    if not plan.offloaded_activations:
        steps.append(("train.offload_activations=true", {"offloaded_activations": True}))
    for count in (blocks // 2, blocks):
        if count > plan.offloaded_blocks:
            steps.append((f"lora.offload_blocks={count}", {"offloaded_blocks": count}))
    return steps


def _cumulated(plan: Any, steps: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, Any]]:
    found = []
    for name, change in steps:
        plan = replace(plan, **change)
        found.append((name, plan))
    return found
