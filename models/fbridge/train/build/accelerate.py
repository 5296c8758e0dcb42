"""What `accelerate launch` decides about a run, made to fit the loop."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType

from fbridge.config.tree import TrainConfig
from fbridge.errors import ConfigError


def adapt_launch(accelerator: Accelerator, config: TrainConfig) -> None:
    """Make FSDP2 or DeepSpeed do what the loop relies on, before anything is prepared.

    Raises:
        ConfigError: this way of sharing the work is not supported; tells what is.
    """
    if accelerator.distributed_type == DistributedType.FSDP:
        _adapt_fsdp(accelerator)
    elif accelerator.distributed_type == DistributedType.DEEPSPEED:
        _adapt_deepspeed(accelerator, config)


def _adapt_fsdp(accelerator: Accelerator) -> None:
    """Networks are handed times as they are, and gradients are summed in float32.

    FSDP2 would round all that enters a network to its precision: in bf16 a time of 999 and one of
    997 would be the same.
    """
    plugin: Any = accelerator.state.fsdp_plugin
    if plugin.fsdp_version != 2:
        raise ConfigError(
            "accelerate's fsdp_version is 1, which cannot save what one process can load; use "
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


def _adapt_deepspeed(accelerator: Accelerator, config: TrainConfig) -> None:
    """Batch and clipping are the run's; what its engine does otherwise than the loop is refused."""
    numbers: dict[str, Any] = accelerator.state.deepspeed_plugin.deepspeed_config
    stage = numbers["zero_optimization"]["stage"]
    if stage != 2:
        raise ConfigError(
            f"DeepSpeed's ZeRO stage {stage} is not supported, only 2; use it, or FSDP2 (as "
            "examples/accelerate/fsdp2.yaml does), which shards the network too"
        )
    wanted = {"optimizer": "adamw", "gradient_accumulation": 1}
    for name, value in wanted.items():
        if getattr(config, name) != value:
            raise ConfigError(
                f"train.{name} {getattr(config, name)!r} is not possible with DeepSpeed; set it to "
                f"{value!r}, or use DDP or FSDP2"
            )
    if config.precision == "fp16":
        raise ConfigError('train.precision "fp16" is not possible with DeepSpeed; use "bf16"')
    numbers["train_micro_batch_size_per_gpu"] = config.batch_size
    numbers["gradient_accumulation_steps"] = 1
    numbers.pop("train_batch_size", None)  # follows from these
    numbers["gradient_clipping"] = config.max_grad_norm
