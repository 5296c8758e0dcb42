"""Networks from their configurations and weights."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import diffusers
import torch
from accelerate import init_empty_weights
from diffusers import ModelMixin
from packaging.version import Version
from torch import Tensor

from fbridge.errors import CheckpointError, reason
from fbridge.files.configs import read_json
from fbridge.files.heap import trim_heap
from fbridge.files.lazy_weights import shapes_of
from fbridge.files.low_bit import check_low_bit
from fbridge.files.tensors import open_weights, read_header
from fbridge.files.weight_files import find_variant, find_weight_file


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


_UNTRIMMED = 2**22
"""Bytes of weights after which freed memory is given back."""


@dataclass(frozen=True)
class Kept:
    """How a network's weights are kept in memory, where it is not as they are stored.

    Attributes:
        dtype: of the network, but what its class says must stay float32.
        exact: of the empty network, and the name of a layer of it: whether that is kept in float32;
            None if none is.
        change: of the empty network: what is made of a tensor, by its name and as it is stored.
        finish: of the network, and the name of a layer all of whose tensors are there: what is
            done to that layer before the next one is read, such as to quantise it.
    """

    dtype: torch.dtype = torch.float32
    exact: Callable[[Any, str], bool] | None = None
    change: Callable[[Any], Callable[[str, Tensor], Tensor]] | None = None
    finish: Callable[[Any, str], None] | None = None


def build(
    kind: Any,
    config: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    path: Path,
    kept: Kept | torch.dtype = torch.float32,
) -> Any:
    """A network of a class, from its configuration and all its weights.

    Args:
        kind: of diffusers' models, or ours.
        config: as its `from_config` takes it.
        weights: by name; those that are read when they are asked for, are in memory one by one.
        path: that they are from, for messages.
        kept: how they are kept, or the dtype alone.

    Raises:
        CheckpointError: the two do not fit; names a tensor.
    """
    try:
        model = empty_network(kind, config)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    if why := misfit(kind.__name__, shapes_of(model.state_dict()), shapes_of(weights)):
        raise CheckpointError(f"{path}: {why}")
    _fill(model, weights, kept if isinstance(kept, Kept) else Kept(kept))
    return model.eval()


def _fill(model: Any, weights: Mapping[str, Tensor], kept: Kept) -> None:
    """Put weights into an empty network, one after the other.

    Room for all is made first, so that what is needed on the way leaves no gaps between them; it
    takes memory only when it is written to.
    """
    change = None if kept.change is None else kept.change(model)
    places = {name: _place(model, name, held, kept) for name, held in model.state_dict().items()}
    left = Counter(name.rpartition(".")[0] for name in weights)
    untrimmed = 0
    for name in weights:
        layer, _, last = name.rpartition(".")
        value = weights[name] if change is None else change(name, weights[name])
        place = places.pop(name)
        own = place.copy_(value) if value.is_floating_point() else value.clone()
        model.get_submodule(layer).load_state_dict({last: own}, strict=False, assign=True)
        untrimmed += own.nbytes
        del value, place, own
        left[layer] -= 1
        if kept.finish is not None and not left[layer]:
            kept.finish(model, layer)
        if untrimmed > _UNTRIMMED:
            trim_heap()
            untrimmed = 0


def _place(model: Any, name: str, held: Tensor, kept: Kept) -> Tensor:
    exact = kept.exact is not None and kept.exact(model, name.rpartition(".")[0])
    dtype = precision_of(type(model), name, torch.float32 if exact else kept.dtype)
    return torch.empty(held.shape, dtype=dtype)


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


def dtype_option(dtype: Any) -> dict[str, Any]:
    """The dtype as an option of diffusers' `from_pretrained`, whose name 0.40 changed.

    Of later versions the old name brings a warning, and earlier ones do not know the new one.
    """
    new = Version(diffusers.__version__) >= Version("0.40")
    return {"dtype" if new else "torch_dtype": dtype}


def load_folder(kind: Any, folder: Path, kept: Kept | torch.dtype = torch.float32) -> Any:
    """A network of a class from a folder written by save_pretrained.

    Args:
        kind: of diffusers' models, or ours.
        folder: of its configuration and weights.
        kept: how its weights are kept, or the dtype alone.

    Raises:
        CheckpointError: it does not load, or not all of its weights are there.
    """
    kept = kept if isinstance(kept, Kept) else Kept(kept)
    check_low_bit(folder)
    config, file = read_json(folder / "config.json"), find_weight_file(folder)
    if file is not None and issubclass(kind, ModelMixin) and "quantization_config" not in config:
        weights = open_weights(file)
        known = shapes_of(empty_network(kind, config).state_dict())
        scaled = bool(read_header(file).scales)  # which from_pretrained leaves out
        if scaled or not misfit(kind.__name__, known, weights.shapes):
            return build(kind, config, weights, file, kept)
    return _load_renamed(kind, folder, kept.dtype if kept.exact is None else torch.float32)


def _load_renamed(kind: Any, folder: Path, dtype: torch.dtype) -> Any:
    """By the class's own function, which knows names of older versions and quantised layers."""
    try:
        model, info = kind.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            variant=find_variant(folder),
            **dtype_option(dtype),
        )
    except Exception as error:  # what libraries raise over broken files is of many kinds
        raise CheckpointError(
            f"{folder}: {kind.__name__} does not load: {reason(error)}{_quantised_by(folder)}"
        ) from error
    if info["missing_keys"]:
        raise CheckpointError(
            f"{folder}: weights are incomplete: {len(info['missing_keys'])} missing, such as "
            f"{sorted(info['missing_keys'])[0]}; fetch the folder again"
        )
    for held in (*model.parameters(), *model.buffers()):
        held.data = held.data.clone()  # sums round by a mapped file's alignment
    return model.eval()


def _quantised_by(folder: Path) -> str:
    """What to do where the weights in a folder are another library's, for messages; "" if not."""
    settings = read_json(folder / "config.json").get("quantization_config")
    if not settings:
        return ""
    found = settings.get("quant_method") if isinstance(settings, dict) else None
    library = {"quanto": "optimum-quanto"}.get(str(found), str(found or "another library"))
    return (
        f"; its config.json says that {library} has quantised its weights: install that, or take "
        "the model as it was before, with --quantize"
    )


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


def _such_as(names: list[str]) -> str:
    return f" (such as {names[0]})" if names else ""
