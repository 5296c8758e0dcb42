"""Files of weights: safetensors, shards of them, pickled tensors. Nothing in them is ever run."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from fbridge.errors import CheckpointError, DependencyError

_INDEX = ".safetensors.index.json"
_PICKLES = (".pt", ".pth", ".ckpt", ".bin")
_GGUF = ".gguf"
_SHAPE = "comfy.gguf.orig_shape."
"""Before a tensor's name: its shape, of one with more sides than GGUF knows."""
_NESTS = ("state_dict", "ema", "module", "model")
"""Under which of their keys trainers keep the weights; averages are those to be used."""
_DEEPSPEED = "_forward_module."
"""Before all names in its files of a Lightning module."""
_TYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_TYPES |= {"F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "I64": "int64", "U8": "uint8"}


class Header(NamedTuple):
    """What a file of weights tells of them.

    Attributes:
        shapes: of the tensors, by name.
        dtypes: as torch calls them.
    """

    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, str]


def is_weight_file(path: Path) -> bool:
    """Whether a name looks like that of a file of weights."""
    return path.name.endswith((".safetensors", _INDEX, _GGUF, *_PICKLES))


def names_weight_file(name: str) -> bool:
    """Whether a name is that of a file of weights, or of a network's own folder."""
    path = Path(name)
    return is_weight_file(path) or (path.is_dir() and find_weight_file(path) is not None)


def network_folder(pipeline: Path) -> Path:
    """Where a pipeline has its network: `transformer/`, or `unet/`."""
    unet = pipeline / "unet"
    return unet if (unet / "config.json").is_file() else pipeline / "transformer"


def find_weight_file(folder: Path) -> Path | None:
    """The weights, or the index of them, of a network's own folder; None of any other folder.

    A folder that holds nothing of a pipeline but its network's stands for that, and one without any
    configuration for the only file of weights in it.
    """
    if (folder / "model_index.json").is_file():
        return None
    if not (folder / "config.json").is_file():
        inner = network_folder(folder)
        return find_weight_file(inner) if inner.is_dir() else _only_weights(folder)
    found = [*sorted(folder.glob(f"*{_INDEX}")), *sorted(folder.glob("*.safetensors"))]
    return found[0] if found else None


def _only_weights(folder: Path) -> Path | None:
    if not folder.is_dir() or any(folder.glob("*.json")):
        return None
    found = [path for path in folder.iterdir() if path.is_file() and is_weight_file(path)]
    return found[0] if len(found) == 1 else None


def read_weights(path: Path) -> dict[str, Tensor]:
    """All tensors of a file, by the names that it gives them.

    From .safetensors, an index of such shards, a .gguf file, whose tensors are made float32, or a
    .pt or .ckpt file that holds nothing but tensors.

    Raises:
        CheckpointError: the file is broken, incomplete, or holds code.
    """
    if path.name.endswith(_INDEX):
        return _shards(path)
    if path.suffix in _PICKLES:
        return _unpickled(path)
    if path.suffix == _GGUF:
        return _unpacked(path)
    _require_known(path)
    return _loaded(path)


def read_header(path: Path) -> Header:
    """Names, shapes and types of the tensors of a file, of which no weights are read.

    Args:
        path: as `read_weights` takes it.

    Raises:
        CheckpointError: the file is broken or incomplete, or a .pt or .ckpt that holds code.
    """
    if path.suffix in _PICKLES:
        tensors = _unpickled(path)
        return Header(
            {name: tuple(tensor.shape) for name, tensor in tensors.items()},
            {name: str(tensor.dtype).removeprefix("torch.") for name, tensor in tensors.items()},
        )
    if path.suffix == _GGUF:
        return Header(
            {name: shape for name, _, shape in _packed(path)},
            {name: tensor.tensor_type.name.lower() for name, tensor, _ in _packed(path)},
        )
    _require_known(path)
    shapes: dict[str, tuple[int, ...]] = {}
    dtypes: dict[str, str] = {}
    try:
        for part in _shard_paths(path) if path.name.endswith(_INDEX) else [path]:
            with safe_open(part, "np") as file:  # torch would want memory for the whole file
                for name in file.keys():  # noqa: SIM118 - it is no mapping
                    told = file.get_slice(name)
                    shapes[name] = tuple(told.get_shape())
                    dtypes[name] = _TYPES.get(told.get_dtype(), told.get_dtype())
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise broken(path, error) from error
    return Header(shapes, dtypes)


def hash_weight_file(path: Path) -> str:
    """sha256 of a file or, of an index, over all its shards."""
    digest = hashlib.sha256()
    for part in _shard_paths(path) if path.name.endswith(_INDEX) else [path]:
        with part.open("rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    return digest.hexdigest()


def _require_known(path: Path) -> None:
    if path.suffix != ".safetensors" and not path.name.endswith(_INDEX):
        raise CheckpointError(
            f"{path}: is no file of weights; known: .safetensors, {_INDEX}, {_GGUF}, "
            f"{', '.join(_PICKLES)}"
        )


def _loaded(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise broken(path, error) from error
    except RuntimeError as error:
        if "mmap" not in str(error):
            raise
        raise CheckpointError(
            f"{path}: its {path.stat().st_size / 1e9:.1f} GB do not fit into this machine's memory"
        ) from error


def _packed(path: Path) -> Iterator[tuple[str, Any, tuple[int, ...]]]:
    """Name, tensor and shape of each of a GGUF file."""
    try:
        from gguf import GGUFReader
    except ImportError as error:
        raise DependencyError(f"{path}: reading GGUF needs gguf: pip install gguf") from error
    try:
        reader = GGUFReader(path)
        for tensor in reader.tensors:
            told = reader.fields.get(_SHAPE + tensor.name)
            sides = reversed(tensor.shape.tolist()) if told is None else told.contents()
            yield tensor.name, tensor, tuple(int(side) for side in sides)
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise broken(path, error) from error


def _unpacked(path: Path) -> dict[str, Tensor]:
    from gguf.quants import dequantize

    return {
        name: torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy()).view(shape)
        for name, tensor, shape in _packed(path)
    }


def _shards(index: Path) -> dict[str, Tensor]:
    try:
        weights: dict[str, Tensor] = {}
        for path in _shard_paths(index):
            weights.update(_loaded(path))
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise broken(index, error) from error
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
        raise broken(path, error) from error
    for nest in _NESTS:
        if isinstance(held, dict) and isinstance(held.get(nest), dict):
            held = held[nest]
    tensors = (
        {k: v for k, v in held.items() if isinstance(v, Tensor)} if isinstance(held, dict) else {}
    )
    if all(name.startswith(_DEEPSPEED) for name in tensors):
        tensors = {name.removeprefix(_DEEPSPEED): tensor for name, tensor in tensors.items()}
    if not tensors:
        raise CheckpointError(f"{path}: holds no weights; known places: {', '.join(_NESTS)}")
    return tensors


def broken(path: Path, error: Exception) -> CheckpointError:
    """What is said of a file that cannot be read."""
    reason = str(error).strip().split("\n")[0] or type(error).__name__
    return CheckpointError(f"{path}: is broken or cut off ({reason}); get the file again")
