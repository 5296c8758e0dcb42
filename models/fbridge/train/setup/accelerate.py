"""Adapt the settings of `accelerate launch` to the training loop."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, gather_object
from torch import nn

from fbridge.config.tree import TrainConfig
from fbridge.errors import CheckpointError, ConfigError
from fbridge.train.checkpoints.reading import Checkpoint
from fbridge.train.shares import BatchShare


def adapt_launch(accelerator: Accelerator, config: TrainConfig) -> None:
    """Configure FSDP2 or DeepSpeed as the loop needs, before `Accelerator.prepare`.

    Raises:
        ConfigError: the settings are not supported; names supported ones.
    """
    sharded = accelerator.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED)
    if sharded and config.new_input_lr_factor != 1:
        raise ConfigError(
            f"train.new_input_lr_factor {config.new_input_lr_factor:g} is not possible with FSDP2 "
            "and DeepSpeed, which shard the optimizer; set it to 1, or use DDP"
        )
    if accelerator.distributed_type == DistributedType.FSDP:
        _adapt_fsdp(accelerator)
    elif accelerator.distributed_type == DistributedType.DEEPSPEED:
        _adapt_deepspeed(accelerator, config)


def has_accelerator() -> bool:
    """Whether this machine has a device other than CPUs.

    Without one, accelerate must be told so: else each process of a launch would train alone.
    """
    if hasattr(torch, "accelerator"):  # since torch 2.6
        return bool(torch.accelerator.is_available())
    return torch.cuda.is_available() or torch.backends.mps.is_available()


def launched_world() -> int:
    """How many processes torchrun and its like say that they have launched."""
    return int(os.environ.get("WORLD_SIZE") or 1)


def check_world(accelerator: Accelerator) -> None:
    """Raise where the processes of a launch would train each for itself, in one folder."""
    launched = launched_world()
    if launched > 1 and accelerator.num_processes != launched:
        raise ConfigError(
            f"WORLD_SIZE {launched}: processes on {accelerator.device.type} cannot train together; "
            "start one, or add --device cpu"
        )


def check_agreed(accelerator: Accelerator, found: Checkpoint | None) -> None:
    """Raise where the processes of a run would not go on from the same checkpoint."""
    if accelerator.num_processes == 1:
        return
    steps = gather_object([0 if found is None else found.step])
    if len(set(steps)) > 1:
        told = ", ".join(f"process {number}: {step}" for number, step in enumerate(steps))
        raise CheckpointError(
            f"the processes would go on from different steps ({told}), as they do not see the same "
            "checkpoints; name one that all see: --checkpoint STEP"
        )


def check_share(accelerator: Accelerator, share: BatchShare) -> None:
    """Raise where the launch cannot take a batch in several parts."""
    if accelerator.distributed_type == DistributedType.DEEPSPEED and share.parts > 1:
        raise ConfigError(
            f"DeepSpeed takes a batch in one part, and {share.world} processes would take its "
            f"{share.clips} clips in {share.parts}; launch {-(-share.clips // share.most)} "
            "processes, or use DDP or FSDP2"
        )


def _adapt_fsdp(accelerator: Accelerator) -> None:
    """Do not cast the network's inputs, and sum gradients in float32.

    FSDP2 casts inputs to its precision: in bf16 the times 999 and 997 would be the same.
    """
    plugin: Any = accelerator.state.fsdp_plugin
    if plugin.fsdp_version != 2:
        raise ConfigError(
            "accelerate's fsdp_version is 1, whose checkpoints one process cannot load; use "
            "fsdp_version: 2, as examples/accelerate/fsdp2.yaml does"
        )
    if plugin.cpu_ram_efficient_loading:
        raise ConfigError(
            "accelerate's fsdp_cpu_ram_efficient_loading leaves the other processes without "
            "weights; set it to false"
        )
    policy = plugin.mixed_precision_policy
    if policy is not None:
        plugin.mixed_precision_policy = replace(
            policy, reduce_dtype=torch.float32, cast_forward_inputs=False
        )


def shard_blocks(accelerator: Accelerator, blocks: Iterable[nn.Module]) -> None:
    """Have FSDP2 shard a network by its blocks, unless the launch's settings name classes."""
    if accelerator.distributed_type == DistributedType.FSDP:
        plugin: Any = accelerator.state.fsdp_plugin
        if not plugin.transformer_cls_names_to_wrap:
            plugin.transformer_cls_names_to_wrap = sorted({type(each).__name__ for each in blocks})


def _adapt_deepspeed(accelerator: Accelerator, config: TrainConfig) -> None:
    """Set batch size and clipping; refuse settings that DeepSpeed treats differently."""
    settings: dict[str, Any] = accelerator.state.deepspeed_plugin.deepspeed_config
    stage = settings["zero_optimization"]["stage"]
    if stage != 2:
        raise ConfigError(
            f"DeepSpeed's ZeRO stage {stage} is not supported, only 2; use it, or FSDP2 (as "
            "examples/accelerate/fsdp2.yaml does), which shards the network too"
        )
    supported = {"optimizer": "adamw", "gradient_accumulation": 1}
    for name, value in supported.items():
        if getattr(config, name) != value:
            raise ConfigError(
                f"train.{name} {getattr(config, name)!r} is not possible with DeepSpeed; set it to "
                f"{value!r}, or use DDP or FSDP2"
            )
    if config.precision == "fp16":
        raise ConfigError('train.precision "fp16" is not possible with DeepSpeed; use "bf16"')
    settings["train_micro_batch_size_per_gpu"] = config.batch_size
    settings["gradient_accumulation_steps"] = 1
    settings.pop("train_batch_size", None)  # follows from these
    settings["gradient_clipping"] = config.max_grad_norm
