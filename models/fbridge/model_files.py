"""Files of weights: a base in one file, or a transformer alone. Nothing in them is ever run."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from fbridge.errors import CheckpointError

FORMAT = 1
_KEY = "fbridge"
_INDEX = ".safetensors.index.json"
_PICKLES = (".pt", ".pth", ".ckpt", ".bin")
_NESTS = ("state_dict", "module", "model")
"""Under which of their keys trainers keep the weights."""
_PREFIXES = ("transformer.", "model.", "module.", "_orig_mod.")


@dataclass(frozen=True)
class BaseFile:
    """What a base's one file holds.

    Attributes:
        facts: of its header.
        tensors: by name, "transformer.<key>" and "vae.<key>".
    """

    facts: dict[str, Any]
    tensors: dict[str, Tensor]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names begin so, without that."""
        return {k[len(prefix) :]: v for k, v in self.tensors.items() if k.startswith(prefix)}


def save_base_file(  # noqa: PLR0913 - a base's parts and facts
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
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write a text-to-video base as one file: weights, and in its header all there is to know.

    The header's metadata has one key, "fbridge", whose JSON holds "format" and "kind", the
    configurations of transformer and vae with their `_class_name`, "noise" and "prediction" as
    `fbridge.bases.Base` has them, "text_encoder", "frames", "fps" and "sizes".
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
    }
    tensors = {
        f"{part}.{key}": _stored(value, dtype)
        for part, model in (("transformer", transformer), ("vae", vae))
        for key, value in model.state_dict().items()
    }
    save_file(tensors, path, {_KEY: json.dumps(facts, sort_keys=True)})


def is_weights(path: Path) -> bool:
    """Whether a name looks like that of a file of weights."""
    return path.name.endswith((".safetensors", _INDEX, *_PICKLES))


def weights_in(folder: Path) -> Path | None:
    """The weights, or the index of them, of a network's own folder; None of any other folder."""
    if not (folder / "config.json").is_file() or (folder / "model_index.json").is_file():
        return None
    found = [*sorted(folder.glob(f"*{_INDEX}")), *sorted(folder.glob("*.safetensors"))]
    return found[0] if found else None


def read_base_file(path: Path) -> BaseFile | None:
    """A base's one file, or None of a file that is not one.

    Raises:
        CheckpointError: the file is broken, or of a newer format.
    """
    if path.suffix != ".safetensors":
        return None
    try:
        with safe_open(path, "pt") as file:
            told = (file.metadata() or {}).get(_KEY)
            facts = None if told is None else json.loads(told)
        if facts is None:
            return None
        if facts.get("format") != FORMAT or facts.get("kind") != "text-to-video":
            raise CheckpointError(
                f"{path}: is a {facts.get('kind')} base of format {facts.get('format')}, and this "
                f"version reads text-to-video bases of format {FORMAT}; update fbridge"
            )
        return BaseFile(facts, load_file(path))
    except (SafetensorError, OSError, ValueError, AttributeError) as error:
        raise _broken(path, error) from error


def read_transformer(path: Path) -> dict[str, Tensor]:
    """Weights of a transformer under diffusers' names.

    From .safetensors, an index of such shards, or a .pt or .ckpt file that holds nothing but
    tensors; what trainers put around the weights and before their names is taken off.

    Raises:
        CheckpointError: the file is broken, incomplete, or holds code.
    """
    if path.name.endswith(_INDEX):
        weights = _shards(path)
    elif path.suffix == ".safetensors":
        try:
            weights = load_file(path)
        except (SafetensorError, OSError) as error:
            raise _broken(path, error) from error
    elif path.suffix in _PICKLES:
        weights = _unpickled(path)
    else:
        raise CheckpointError(
            f"{path}: is no file of weights; known: .safetensors, {_INDEX}, {', '.join(_PICKLES)}"
        )
    for prefix in _PREFIXES:
        if all(key.startswith(prefix) for key in weights):
            weights = {key[len(prefix) :]: value for key, value in weights.items()}
    return weights


def build(kind: Any, config: Mapping[str, Any], weights: Mapping[str, Tensor], path: Path) -> Any:
    """A float32 network of a class, from its configuration and all its weights.

    Raises:
        CheckpointError: the two do not fit; names a tensor.
    """
    model: nn.Module = kind.from_config({k: v for k, v in config.items() if k[0] != "_"})
    known = model.state_dict()
    strange, missing = sorted(weights.keys() - known.keys()), sorted(known.keys() - weights.keys())
    wrong = [k for k in known.keys() & weights.keys() if known[k].shape != weights[k].shape]
    if wrong:
        key = min(wrong)
        raise CheckpointError(
            f"{path}: {key} is {tuple(weights[key].shape)} where its configuration says "
            f"{tuple(known[key].shape)}; the two are not of one model"
        )
    if strange or missing:
        raise CheckpointError(
            f"{path}: does not fit {kind.__name__}: {len(missing)} tensors are missing"
            f"{_such_as(missing)}, {len(strange)} unknown{_such_as(strange)}; it needs the weights "
            "of this model under diffusers' names"
        )
    model.load_state_dict(dict(weights))
    return model.eval()


def load_folder(kind: Any, folder: Path) -> Any:
    """A float32 network of a class from a folder written by save_pretrained.

    Raises:
        CheckpointError: it does not load, or not all of its weights are there.
    """
    try:
        model, told = kind.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except Exception as error:  # what libraries raise over broken files is of many kinds
        reason = str(error).strip().split("\n")[0]
        raise CheckpointError(f"{folder}: does not load: {reason}") from error
    if told["missing_keys"]:
        raise CheckpointError(
            f"{folder}: weights are incomplete: {len(told['missing_keys'])} missing, such as "
            f"{sorted(told['missing_keys'])[0]}; fetch the folder again"
        )
    for held in (*model.parameters(), *model.buffers()):
        precise = torch.float32 if held.is_floating_point() else None
        held.data = held.data.to(
            dtype=precise, copy=True
        )  # sums round by a mapped file's alignment
    return model.eval()


def read_json(path: Path) -> dict[str, Any]:
    """A configuration.

    Raises:
        CheckpointError: it is missing or broken.
    """
    try:
        held = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from error
    if not isinstance(held, dict):
        raise CheckpointError(f"{path}: is no configuration; fetch the folder again")
    return held


def hash_weights(path: Path) -> str:
    """sha256 of a file or, of an index, over all its shards."""
    digest = hashlib.sha256()
    for part in _shard_paths(path) if path.name.endswith(_INDEX) else [path]:
        with part.open("rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    return digest.hexdigest()


def _stored(value: Tensor, dtype: torch.dtype) -> Tensor:
    return value.detach().to("cpu", dtype if value.is_floating_point() else None).contiguous()


def _described(model: Any) -> dict[str, Any]:
    numbers = {key: value for key, value in model.config.items() if key[0] != "_"}
    return {"_class_name": type(model).__name__, **numbers}


def _shards(index: Path) -> dict[str, Tensor]:
    try:
        weights: dict[str, Tensor] = {}
        for path in _shard_paths(index):
            weights.update(load_file(path))
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _broken(index, error) from error
    return weights


def _shard_paths(index: Path) -> list[Path]:
    names = set(json.loads(index.read_text("utf-8"))["weight_map"].values())
    return [index.with_name(Path(name).name) for name in sorted(names)]


def _unpickled(path: Path) -> dict[str, Tensor]:
    try:
        try:
            held = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except (RuntimeError, ValueError):  # a file of before torch 1.6 cannot be mapped
            held = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: holds more than tensors, which could be code and is not run; load it once "
            "where you trust it and save its weights with safetensors.torch.save_file"
        ) from error
    except (RuntimeError, OSError, ValueError, EOFError, KeyError) as error:
        raise _broken(path, error) from error
    for nest in _NESTS:
        if isinstance(held, dict) and isinstance(held.get(nest), dict):
            held = held[nest]
    tensors = (
        {k: v for k, v in held.items() if isinstance(v, Tensor)} if isinstance(held, dict) else {}
    )
    if not tensors:
        raise CheckpointError(f"{path}: holds no weights; known places: {', '.join(_NESTS)}")
    return tensors


def _such_as(names: list[str]) -> str:
    return f" (such as {names[0]})" if names else ""


def _broken(path: Path, error: Exception) -> CheckpointError:
    reason = str(error).strip().split("\n")[0] or type(error).__name__
    return CheckpointError(f"{path}: is broken or cut off ({reason}); get the file again")
