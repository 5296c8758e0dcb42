"""Which files hold the weights of a network: by their names and places, without opening them."""

from __future__ import annotations

import re
from pathlib import Path

from fbridge.errors import CheckpointError
from fbridge.files.configs import read_json
from fbridge.files.hashing import ORIGINAL, SAFETENSORS, hash_files

INDEX = ".safetensors.index.json"
PICKLES = (".pt", ".pth", ".ckpt", ".bin")
GGUF = ".gguf"
_INDEX = re.compile(r"\.safetensors\.index(\.\w+)?\.json$")
"""With the name of a variant, as diffusers puts it."""
_SHARD = re.compile(r"-(\d{5})-of-(\d{5})\.safetensors$")
_STANDARD = re.compile(r"(?:diffusion_pytorch_)?model\.(\w+?)(?:-\d{5}-of-\d{5})?\.safetensors$")
"""A variant's file under the names of diffusers and transformers."""


def is_weight_file(path: Path) -> bool:
    """Whether a name looks like that of a file of weights, or of an index of such files."""
    return path.name.endswith((*SAFETENSORS, GGUF, *PICKLES)) or is_index(path)


def is_index(path: Path) -> bool:
    """Whether a name is that of an index of shards."""
    return _INDEX.search(path.name) is not None


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
    found = _weights_of(folder)
    return found[0] if found else None


def find_variant(folder: Path) -> str | None:
    """The variant ("fp16", ...) whose weights alone are in a network's own folder; else None."""
    found = _weights_of(folder)
    return _variant(found[0]) if found else None


def _weights_of(folder: Path) -> list[Path]:
    """Indices and files of weights in a folder, without shards; those of no variant go first."""
    indices = [path for path in sorted(folder.glob("*.json")) if is_index(path)]
    files = [path for kind in SAFETENSORS for path in sorted(folder.glob(f"*{kind}"))]
    files = [path for path in files if not _SHARD.search(path.name)]
    files += [path for path in folder.glob(f"{ORIGINAL}.*") if path.suffix in (*PICKLES, GGUF)]
    return sorted([*indices, *files], key=lambda path: _variant(path) is not None)


def _variant(path: Path) -> str | None:
    found = _INDEX.search(path.name)
    if found is not None:
        return None if found[1] is None else found[1][1:]
    standard = _STANDARD.fullmatch(path.name)
    return None if standard is None else standard[1]


def whole_of_shard(path: Path) -> Path:
    """The index of the shards that a file is one of; the file itself if it is none.

    Raises:
        CheckpointError: the index is not beside it.
    """
    found = _SHARD.search(path.name)
    if found is None or not path.is_file() or int(found[2]) == 1:
        return path
    stem = path.name[: found.start()]
    name, dot, variant = stem.rpartition(".") if _STANDARD.fullmatch(path.name) else (stem, "", "")
    index = path.with_name(f"{name}.safetensors.index{dot}{variant}.json")
    if index.is_file():
        return index
    raise CheckpointError(
        f"{path}: is one of {int(found[2])} shards of a model, and their index {index.name} is not "
        "beside it; get all files of the folder"
    )


def weight_paths(path: Path) -> list[Path]:
    """The file itself or, of an index, its shards.

    Raises:
        CheckpointError: the index is broken, or a shard is missing.
    """
    if not is_index(path):
        return [path]
    try:
        names = {Path(name).name for name in read_json(path)["weight_map"].values()}
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: is broken or cut off ({error}); get the file again"
        ) from error
    shards = [path.with_name(name) for name in sorted(names)]
    lacking = [shard.name for shard in shards if not shard.is_file()]
    if lacking:
        raise CheckpointError(
            f"{path}: {len(lacking)} of its {len(shards)} shards are missing, such as "
            f"{lacking[0]}; get the folder again"
        )
    return shards


def hash_weight_file(path: Path) -> str:
    """sha256 of a file or, of an index, over all its shards."""
    return hash_files(weight_paths(path))


def _only_weights(folder: Path) -> Path | None:
    if not folder.is_dir() or any(folder.glob("*.json")):
        return None
    found = [path for path in folder.iterdir() if path.is_file() and is_weight_file(path)]
    return found[0] if len(found) == 1 else None
