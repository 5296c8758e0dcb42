"""Tensors of a checkpoint file that the user names, whatever its form; pickled code is not run."""

from __future__ import annotations

import hashlib
import io
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from fbridge.errors import CheckpointError, reason
from fbridge.weights.entries import I3D_SCRIPT


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors, torch or TorchScript file, by name.

    Of TorchScript archives only the published I3D is opened, once its sha256 is verified: an
    archive holds code.

    Raises:
        CheckpointError: It cannot be read, or holds more than tensors.
    """
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        data = path.read_bytes()
        if _is_script(data):
            return _scripted(path, data)
        held = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (OSError, SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise CheckpointError(f"{path}: cannot be read: {reason(error)}") from error
    return _tensors(held.get("state_dict", held) if isinstance(held, Mapping) else {})


def _is_script(data: bytes) -> bool:
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return False
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return any("/code/" in name for name in archive.namelist())


def _scripted(path: Path, data: bytes) -> dict[str, Tensor]:
    found = hashlib.sha256(data).hexdigest()
    if found != I3D_SCRIPT.sha256:
        raise CheckpointError(
            f"{path}: is a TorchScript archive, sha256 {found}; only {I3D_SCRIPT.file} with sha256 "
            f"{I3D_SCRIPT.sha256} is opened; save the state dict as .safetensors instead"
        )
    with warnings.catch_warnings():  # torch.jit is deprecated; the published file remains
        warnings.simplefilter("ignore")
        return _tensors(torch.jit.load(io.BytesIO(data), map_location="cpu").state_dict())


def _tensors(held: Mapping[str, Any]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in held.items() if isinstance(tensor, Tensor)}
