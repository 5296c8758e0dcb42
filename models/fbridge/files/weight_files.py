"""Which files hold the weights of a network: by their names and places, without opening them."""

from __future__ import annotations

from pathlib import Path

from fbridge.errors import CheckpointError
from fbridge.files.configs import read_json
from fbridge.files.hashing import hash_files

INDEX = ".safetensors.index.json"
PICKLES = (".pt", ".pth", ".ckpt", ".bin")
GGUF = ".gguf"


def is_weight_file(path: Path) -> bool:
    """Whether a name looks like that of a file of weights, or of an index of such files."""
    return path.name.endswith((".safetensors", INDEX, GGUF, *PICKLES))


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
    found = [*sorted(folder.glob(f"*{INDEX}")), *sorted(folder.glob("*.safetensors"))]
    return found[0] if found else None


def weight_paths(path: Path) -> list[Path]:
    """The file itself or, of an index, its shards.

    Raises:
        CheckpointError: the index is broken.
    """
    if not path.name.endswith(INDEX):
        return [path]
    try:
        names = {Path(name).name for name in read_json(path)["weight_map"].values()}
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: is broken or cut off ({error}); get the file again"
        ) from error
    return [path.with_name(name) for name in sorted(names)]


def hash_weight_file(path: Path) -> str:
    """sha256 of a file or, of an index, over all its shards."""
    return hash_files(weight_paths(path))


def _only_weights(folder: Path) -> Path | None:
    if not folder.is_dir() or any(folder.glob("*.json")):
        return None
    found = [path for path in folder.iterdir() if path.is_file() and is_weight_file(path)]
    return found[0] if len(found) == 1 else None
