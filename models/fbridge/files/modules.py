"""Networks from their configurations and weights, and the single file of a text-to-video base."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import torch
from accelerate import init_empty_weights
from safetensors.torch import save_file
from torch import Tensor, nn

from fbridge.errors import CheckpointError, reason
from fbridge.files.configs import check_form, read_json
from fbridge.files.low_bit import check_low_bit
from fbridge.files.model_forms import SingleFileForm
from fbridge.files.tensors import Header, broken, read_header, read_weights
from fbridge.files.weight_files import find_variant, find_weight_file

FORMAT = 1
_KEY = "fbridge"


def save_single_file(  # noqa: PLR0913 - a base's parts and facts
    path: Path,
    transformer: Any,
    vae: Any,
    *,
    noise: Mapping[str, Any],
    prediction: str,
    text_encoder: str,
    frames: list[int],
    fps: float,
    sizes: list[list[int]],
    world: str = "",
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write a text-to-video base as a single file: the weights, and all else in its header.

    Tensors are named "transformer.<key>" and "vae.<key>". The header's metadata has one key,
    "fbridge", whose JSON holds "format" and "kind", the configurations of transformer and vae with
    their `_class_name`, "noise" and "prediction" as `fbridge.loaders.pretrained.PretrainedModel`
    has them, "text_encoder", "frames", "fps", "sizes" and, where it is given, "world".
    """
    facts = {
        "format": FORMAT,
        "kind": "text-to-video",
        "transformer": _described(transformer),
        "vae": _described(vae),
        "noise": dict(noise),
        "prediction": prediction,
        "text_encoder": text_encoder,
        "frames": frames,
        "fps": fps,
        "sizes": sizes,
        **({"world": world} if world else {}),
    }
    tensors = {
        f"{part}.{key}": _stored(value, precision_of(type(model), key, dtype))
        for part, model in (("transformer", transformer), ("vae", vae))
        for key, value in model.state_dict().items()
    }
    save_file(tensors, path, {_KEY: json.dumps(facts, sort_keys=True)})


def single_file_facts(path: Path, header: Header) -> dict[str, Any] | None:
    """What `save_single_file` wrote into a file's header; None of a file that it did not write.

    Raises:
        CheckpointError: the header is broken, or of a newer format.
    """
    if _KEY not in header.metadata:
        return None
    try:
        facts: dict[str, Any] = json.loads(header.metadata[_KEY])
        kind, version = facts.get("kind"), facts.get("format")
    except (ValueError, AttributeError, RecursionError) as error:
        raise broken(path, error) from error
    if (version, kind) != (FORMAT, "text-to-video"):
        raise CheckpointError(
            f"{path}: is a {kind} base of format {version}, and this version reads text-to-video "
            f"bases of format {FORMAT}; update fbridge"
        )
    check_form(SingleFileForm, facts, path)
    return facts


def empty_network(kind: Any, config: Mapping[str, Any]) -> Any:
    """A network of a class and a configuration, on the meta device.

    Raises:
        CheckpointError: no network can be made of it; the file is for the caller to name.
    """
    own = {key: value for key, value in config.items() if key[0] != "_"}
    if fault := _wrong_number(kind, own):
        raise CheckpointError(f"{fault} in the configuration of its {kind.__name__}; get it again")
    try:
        with init_empty_weights():
            return kind.from_config(own)
    except Exception as error:  # constructors take the values as they are
        raise CheckpointError(
            f"no {kind.__name__} can be made of its configuration: {reason(error)}; get it again"
        ) from error


def _wrong_number(kind: Any, config: Mapping[str, Any]) -> str:
    """The first value that is no number where the class's constructor takes one; "" if none.

    Constructors keep most numbers as they are, so that the first use of the network would fail.
    """
    try:
        signature = inspect.signature(kind.__init__, eval_str=True)
    except NameError:  # an annotation that only type checkers can see
        signature = inspect.signature(kind.__init__)
    for name, taken in signature.parameters.items():
        union = get_origin(taken.annotation) in (Union, UnionType)
        kinds = set(get_args(taken.annotation)) if union else {taken.annotation}
        if name not in config or not kinds <= {int, float, NoneType} or kinds == {NoneType}:
            continue
        value = config[name]
        absent = value is None and (NoneType in kinds or taken.default is None)
        if not absent and not isinstance(value, (int, float)):
            return f"{name} is {value!r} where a number is needed"
    return ""


def build(
    kind: Any,
    config: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    path: Path,
    dtype: torch.dtype = torch.float32,
) -> Any:
    """A network of a class, from its configuration and all its weights.

    Args:
        kind: of diffusers' models, or ours.
        config: as its `from_config` takes it.
        weights: by name.
        path: that they are from, for messages.
        dtype: of the network, but what the class says must stay float32.

    Raises:
        CheckpointError: the two do not fit; names a tensor.
    """
    try:
        model: nn.Module = empty_network(kind, config)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    known = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    shapes = {name: tuple(value.shape) for name, value in weights.items()}
    if why := misfit(kind.__name__, known, shapes):
        raise CheckpointError(f"{path}: {why}")
    own = {
        name: value.to(dtype=_kept(value, precision_of(kind, name, dtype)), copy=True)
        for name, value in weights.items()
    }
    model.load_state_dict(own, assign=True)
    return model.eval()


def misfit(
    kind: str,
    known: Mapping[str, tuple[int, ...]],
    held: Mapping[str, tuple[int, ...]],
    *,
    strict: bool = True,
) -> str:
    """Why weights are not those of a network, by names and shapes; "" if they are.

    Args:
        kind: name of the network's class.
        known: shapes of the network's tensors.
        held: shapes of the weights.
        strict: weights that the network does not know count too.
    """
    wrong = [name for name in known.keys() & held.keys() if known[name] != held[name]]
    if wrong:
        name = min(wrong)
        return (
            f"{name} is {held[name]} where its configuration says {known[name]}; the two are not "
            "of one model"
        )
    missing = sorted(known.keys() - held.keys())
    strange = sorted(held.keys() - known.keys()) if strict else []
    if not (missing or strange):
        return ""
    return (
        f"does not fit {kind}: {len(missing)} tensors are missing{_such_as(missing)}, "
        f"{len(strange)} unknown{_such_as(strange)}; it needs the weights of this model under "
        "diffusers' names"
    )


def load_folder(kind: Any, folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    """A network of a class from a folder written by save_pretrained.

    Args:
        kind: of diffusers' models, or ours.
        folder: of its configuration and weights.
        dtype: of the network, but what the class says must stay float32.

    Raises:
        CheckpointError: it does not load, or not all of its weights are there.
    """
    check_low_bit(folder)
    weights = find_weight_file(folder)
    if weights is not None and read_header(weights).scales:  # which from_pretrained leaves out
        return build(kind, read_json(folder / "config.json"), read_weights(weights), weights, dtype)
    try:
        model, info = kind.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            torch_dtype=dtype,
            variant=find_variant(folder),
        )
    except Exception as error:  # what libraries raise over broken files is of many kinds
        raise CheckpointError(
            f"{folder}: {kind.__name__} does not load: {reason(error)}"
        ) from error
    if info["missing_keys"]:
        raise CheckpointError(
            f"{folder}: weights are incomplete: {len(info['missing_keys'])} missing, such as "
            f"{sorted(info['missing_keys'])[0]}; fetch the folder again"
        )
    for held in (*model.parameters(), *model.buffers()):
        held.data = held.data.clone()  # sums round by a mapped file's alignment
    return model.eval()


def precision_of(kind: Any, name: str, dtype: torch.dtype) -> torch.dtype:
    """The precision of a tensor in a network of a dtype: float32 where its class says so.

    As diffusers' `from_pretrained` does it; `.to(dtype)` heeds no `_keep_in_fp32_modules`.

    Args:
        kind: the class, of diffusers' models, or ours.
        name: of the tensor.
        dtype: of the network.
    """
    exact = getattr(kind, "_keep_in_fp32_modules", None) or ()
    return dtype if set(exact).isdisjoint(name.split(".")) else torch.float32


def _kept(value: Tensor, dtype: torch.dtype) -> torch.dtype:
    return dtype if value.is_floating_point() else value.dtype


def _stored(value: Tensor, dtype: torch.dtype) -> Tensor:
    return value.detach().to("cpu", dtype if value.is_floating_point() else None).contiguous()


def _described(model: Any) -> dict[str, Any]:
    numbers = {key: value for key, value in model.config.items() if key[0] != "_"}
    return {"_class_name": type(model).__name__, **numbers}


def _such_as(names: list[str]) -> str:
    return f" (such as {names[0]})" if names else ""
