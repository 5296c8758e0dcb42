"""DeepSpeed's ZeRO stage 2: gather whole weights and moments from its shards, and scatter them.

Its optimiser works on one flat float32 tensor per process, a shard of all parameters concatenated.
Here it is converted to an optimiser over whole parameters, so that checkpoints are the same with
and without DeepSpeed, and either kind of run can resume from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass
class WholeOptimizer:
    """What `checkpoints.optimizer_state` needs of an optimiser, over whole parameters."""

    param_groups: list[dict[str, Any]]
    state: dict[Tensor, dict[str, Any]] = field(default_factory=dict)


def is_zero(optimizer: Any) -> bool:
    """Whether an optimiser is DeepSpeed's."""
    return hasattr(optimizer, "single_partition_of_fp32_groups")


def empty(optimizer: Any, parameters: Mapping[str, Tensor]) -> WholeOptimizer:
    """The optimiser over whole parameters before its first step."""
    (group,) = optimizer.param_groups
    return WholeOptimizer([{**group, "params": list(parameters.values())}])


def gather(
    optimizer: Any, parameters: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], WholeOptimizer]:
    """Weights in float32 by name, and the optimiser; called by all processes."""
    from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state

    weights = {name: safe_get_full_fp32_param(own) for name, own in parameters.items()}
    whole = empty(optimizer, parameters)
    (flat,) = optimizer.single_partition_of_fp32_groups
    for parameter in parameters.values():
        whole.state[parameter] = {
            key: safe_get_full_optimizer_state(parameter, key) if value.ndim else value
            for key, value in optimizer.optimizer.state[flat].items()
        }
    return weights, whole


@torch.no_grad()
def scatter(
    optimizer: Any,
    parameters: Mapping[str, Tensor],
    weights: Mapping[str, Tensor],
    whole: WholeOptimizer,
) -> None:
    """Put what `gather` returned into the shards of a new optimiser."""
    from deepspeed.utils import safe_set_full_fp32_param, safe_set_full_optimizer_state

    (flat,) = optimizer.single_partition_of_fp32_groups
    some = next(iter(whole.state.values()))
    optimizer.optimizer.state[flat] = {
        key: torch.zeros_like(flat) if value.ndim else value.clone() for key, value in some.items()
    }
    optimizer._lazy_init_hp_params_optimizer_state()
    for name, parameter in parameters.items():
        safe_set_full_fp32_param(parameter, weights[name].to(parameter.device))
        for key, value in whole.state[parameter].items():
            if value.ndim:
                safe_set_full_optimizer_state(parameter, value, key)
