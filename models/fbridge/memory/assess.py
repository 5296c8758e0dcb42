"""What preparing, training and generating with a model would need on this machine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

from fbridge.config import Config
from fbridge.data.latents import LatentDataset
from fbridge.memory.estimator import Estimator
from fbridge.memory.model_sizes import model_sizes
from fbridge.memory.plans import (
    ClipShape,
    GenerationPlan,
    Requirements,
    TrainingPlan,
    cheaper_ways_to_generate,
    cheaper_ways_to_train,
)

_DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}


@dataclass(frozen=True)
class Assessment:
    """The needs of a model.

    Attributes:
        name: of the model.
        clip: the shape of its videos.
        device: where it would run; "accelerator": on one that is not here.
        room: bytes that are free there.
        speed: floating-point operations per second in one block of the network; None: not known.
        steps: micro-steps of training.
        prepare, train, generate: as JSON values: "how", "memory", "seconds", "fits". Each entry of
            a list has one more memory option than the entry before it.
    """

    name: str
    clip: dict[str, int]
    device: str
    room: int
    speed: float | None
    steps: int
    prepare: dict[str, Any]
    train: list[dict[str, Any]]
    generate: list[dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def assess(
    config: Config,
    device: str,
    *,
    frames: int | None = None,
    size: tuple[int, int] | None = None,
    base: str | None = None,
    memory: float | None = None,
) -> Assessment:
    """Estimate what the commands would need, at the speed of one block that is run for it.

    Args:
        config: of training, with a base.
        device: where the model would run.
        frames: of a clip; None is those of the data set, else the model's.
        size: (width, height) of a clip, likewise.
        base: of an adapter, if it does not lie where it was.
        memory: GB of another accelerator than those here, for which no times are told.

    Raises:
        CheckpointError: the model is not found, or its needs cannot be estimated.
    """
    assert config.base is not None
    named = {"components": config.components, "expert": config.expert}
    parts = model_sizes(config.base, base=base, **named)
    estimator = Estimator(parts)
    usual = _clip_of_data(config.data) or estimator.usual_clip()
    clip = ClipShape(frames or usual.frames, *(size or (usual.width, usual.height)))
    training = training_plan(config, clip)
    elsewhere = memory is not None
    if not elsewhere:
        estimator.speed = estimator.probe(clip, device, training.precision)
    make = GenerationPlan(clip, guided=parts.family.guidance != 1)
    accelerated = elsewhere or device != "cpu"
    ways = cheaper_ways_to_generate(make, accelerated=accelerated)
    generate = [(name, estimator.generate(plan)) for name, plan in [("as it is", make), *ways]]
    cheaper = cheaper_ways_to_train(training, blocks=estimator.blocks, accelerated=accelerated)
    train = [(name, estimator.train(plan)) for name, plan in [("as it is", training), *cheaper]]
    room = free_memory(device) if memory is None else int(memory * 1e9)
    return Assessment(
        name=config.base,
        clip=clip._asdict(),
        device="accelerator" if elsewhere else device,
        room=room,
        speed=estimator.speed,
        steps=training.steps,
        prepare=_entries([("a clip", estimator.prepare(clip))], room)[0],
        train=_entries(train, room),
        generate=_entries(generate, room),
    )


def free_memory(device: str) -> int:
    """Free bytes of a device."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def training_plan(config: Config, clip: ClipShape) -> TrainingPlan:
    """What a configuration trains, for clips of a shape."""
    train = config.train
    return TrainingPlan(
        clip,
        batch=train.batch_size,
        steps=train.steps * train.gradient_accumulation,
        precision=_DTYPES[train.precision],
        rank=config.lora.rank,
        dora=config.lora.dora,
        quantize="" if config.lora.quantize == "none" else config.lora.quantize,
        checkpointing=train.gradient_checkpointing,
        offloaded_blocks=config.lora.offload_blocks,
        offloaded_activations=train.offload_activations,
        optimizer=train.optimizer,
        averaged=config.ema.kind != "none",
        parts=1 if config.prior.kind in {"auto", "repeat"} else 2,
    )


def _clip_of_data(data: str | None) -> ClipShape | None:
    """The shape of a data set's most frequent bucket."""
    if not data or not Path(data).is_dir():
        return None
    dataset = LatentDataset(data)
    bucket = str(dataset.index["buckets"][int(dataset.bucket.mode().values)]["bucket"])
    width, height, frames = map(int, bucket.split("x"))
    return ClipShape(frames, width, height)


def _entries(needs: Iterable[tuple[str, Requirements]], room: int) -> list[dict[str, Any]]:
    return [{"how": how, **need._asdict(), "fits": need.memory <= room} for how, need in needs]
