"""An optimiser's state by the names of parameters: tensors for safetensors, the rest for JSON.

It knows only what all optimisers have (`state` by parameter, `param_groups`), so that torch's,
bitsandbytes' (uint8 moments and their maps) and schedulefree's (numbers of its own in the groups)
are saved alike. A tensor of the state is called "<parameter>/<key>", one of a parameter group
"group:<number>/<key>".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from fbridge.errors import CheckpointError, ConfigError
from fbridge.train.checkpoints.shards import sharded_like

_KERNELS = {"foreach", "fused", "capturable", "differentiable"}
"""How an optimiser computes: a matter of the machine, never loaded."""

_WAY_OUT = "continue with the settings of the run that saved it, or begin another run"


def optimizer_state(
    optimizer: Any, parameters: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors by name, not copied, and JSON: all that is needed to go on.

    Args:
        optimizer: any with `state` and `param_groups`.
        parameters: its parameters by name.

    Raises:
        ConfigError: it keeps a state that differs between processes and is not sharded.
    """
    names = _names(parameters)
    tensors: dict[str, Tensor] = {}
    groups: list[dict[str, Any]] = []
    states: dict[str, dict[str, Any]] = {}
    for number, group in enumerate(optimizer.param_groups):
        own = [names[id(parameter)] for parameter in group["params"]]
        values = {key: value for key, value in group.items() if key != "params"}
        groups.append({"parameters": own, **_split(f"group:{number}", values, tensors)})
        for name, parameter in zip(own, group["params"], strict=True):
            state = optimizer.state.get(parameter)
            if not state:
                continue
            for key, value in state.items():
                _check_sharded(optimizer, name, key, value, parameter)
            states[name] = _split(name, state, tensors)
            lost = set(state) - set(states[name]["values"]) - set(states[name]["tensors"])
            if lost:
                raise ValueError(f"state {min(lost)!r} of {name!r} is neither tensor nor JSON")
    shapes = {name: list(parameters[name].shape) for g in groups for name in g["parameters"]}
    return tensors, {"groups": groups, "shapes": shapes, "states": states}


def load_optimizer_state(
    optimizer: Any,
    parameters: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    facts: Mapping[str, Any],
) -> None:
    """Put what `optimizer_state` gave, whole tensors, into a fresh optimiser of the same kind.

    A moment goes to its parameter's device and is sharded as it is; dtypes stay.

    Raises:
        CheckpointError: it is the state of other parameters; names the first.
    """
    names = _names(parameters)
    groups, saved = optimizer.param_groups, facts["groups"]
    own = [[names[id(parameter)] for parameter in group["params"]] for group in groups]
    _check_parameters(own, [group["parameters"] for group in saved])
    _check_shapes(parameters, facts["shapes"])
    wanted = [f"{name}/{key}" for name, s in facts["states"].items() for key in s["tensors"]]
    for name in wanted:
        if name not in tensors:
            raise CheckpointError(f"the optimiser's state lacks {name!r}; use an older checkpoint")
    for number, (group, there) in enumerate(zip(groups, saved, strict=True)):
        for key, value in there["values"].items():
            if key not in _KERNELS:
                group[key] = tuple(value) if isinstance(group.get(key), tuple) else value
        for key in there["tensors"]:
            value, now = tensors[f"group:{number}/{key}"], group.get(key)
            group[key] = value.to(now.device) if isinstance(now, Tensor) else value
        for parameter in group["params"]:
            state = facts["states"].get(names[id(parameter)])
            optimizer.state.pop(parameter, None)
            if state is not None:
                optimizer.state[parameter] = {
                    key: state["values"][key]
                    if key in state["values"]
                    else _placed(tensors[f"{names[id(parameter)]}/{key}"], key, parameter, group)
                    for key in state["order"]
                }


def _names(parameters: Mapping[str, Tensor]) -> dict[int, str]:
    return {id(parameter): name for name, parameter in parameters.items()}


def _split(prefix: str, values: Mapping[str, Any], tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Put the tensors among some values into `tensors`; tell their keys and the other values."""
    own = [key for key, value in values.items() if isinstance(value, Tensor)]
    tensors |= {f"{prefix}/{key}": values[key] for key in own}
    plain = {k: v for k, v in values.items() if not isinstance(v, Tensor) and _is_json(v)}
    return {"tensors": own, "values": plain, "order": [k for k in values if k in {*own, *plain}]}


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


def _placed(tensor: Tensor, key: str, parameter: Tensor, group: Mapping[str, Any]) -> Tensor:
    """A tensor of the state where the optimiser wants it.

    torch keeps the scalar `step` on the CPU unless its kernel runs where the parameter is
    (`torch.optim.Optimizer.load_state_dict` decides likewise).
    """
    device = parameter.device
    if key == "step" and not (group.get("fused") or group.get("capturable")):
        device = torch.device("cpu")
    return sharded_like(tensor, parameter, device)


def _check_sharded(optimizer: Any, name: str, key: str, value: Any, parameter: Tensor) -> None:
    sharded = isinstance(parameter, DTensor) and parameter.device_mesh.size() > 1
    if sharded and isinstance(value, Tensor) and not isinstance(value, DTensor) and value.ndim > 0:
        raise ConfigError(
            f"{type(optimizer).__name__} keeps {key!r} of {name!r} apart on every process, which "
            "cannot be saved from a sharded network; use the optimizer 'adamw'"
        )


def _check_parameters(own: list[list[str]], saved: list[list[str]]) -> None:
    if own == saved:
        return
    here, there = list(_flat(own)), list(_flat(saved))
    missing = next((name for name in here if name not in set(there)), None)
    extra = next((name for name in there if name not in set(here)), None)
    told = "in another order or in other groups"
    if missing is not None:
        told = f"without the network's {missing!r}"
    elif extra is not None:
        told = f"with {extra!r}, which the network does not have"
    raise CheckpointError(f"the checkpoint's optimiser was saved {told}; {_WAY_OUT}")


def _check_shapes(parameters: Mapping[str, Tensor], saved: Mapping[str, list[int]]) -> None:
    for name, shape in saved.items():
        if shape != list(parameters[name].shape):
            raise CheckpointError(
                f"the checkpoint's optimiser was saved with {name!r} of shape {tuple(shape)}, "
                f"which is {tuple(parameters[name].shape)} here; {_WAY_OUT}"
            )


def _flat(lists: Iterable[Iterable[str]]) -> Iterable[str]:
    return (name for names in lists for name in names)
