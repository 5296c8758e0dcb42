"""Codecs by name: the embedded one, folders, hub ids."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from fbridge.codecs import Codec
from fbridge.codecs.motion import MotionCodec
from fbridge.codecs.pixel import PixelCodec
from fbridge.codecs.vae import FAMILIES, VAECodec
from fbridge.errors import CheckpointError
from fbridge.pretrained import EMBEDDED, hash_model, locate_model

_OWN = {"MotionCodec": MotionCodec, "PixelCodec": PixelCodec}
_PARTS = ("codec", "vae")
"""Where a pipeline folder has it."""
_WEIGHTS = "diffusion_pytorch_model"
_HUB_FILES = [
    file
    for part in ("", *(f"{part}/" for part in _PARTS))
    for file in (f"{part}config.json", f"{part}{_WEIGHTS}*.safetensors", f"{part}{_WEIGHTS}*.json")
]
_HUB_VARIANTS = ["*.fp16*", "*.bf16*", "*.non_ema*"]


@dataclass(frozen=True)
class LoadedCodec:
    """A codec and where it is from.

    Attributes:
        codec: ready for use.
        name: as it was asked for.
        kind: its class, as the configuration names it.
        folder: of its configuration and weights.
    """

    codec: Codec
    name: str
    kind: str
    folder: Path

    @cached_property
    def hash(self) -> str:
        """sha256 over its weights and configuration files."""
        return hash_model(self.folder)


def load_codec(name: str, *, device: str, dtype: torch.dtype = torch.float32) -> LoadedCodec:
    """Load "embedded", a codec's or pipeline's folder, or those of a hub id.

    Args:
        name: of the codec.
        device: where it runs.
        dtype: of its network; latents are float32 whatever it is. An image VAE that says that half
            precision is not enough for it (`force_upcast`) stays float32 instead of float16.

    Raises:
        CheckpointError: there is none, it is of an unknown class, or its weights do not load.
    """
    folder = _folder(name)
    kind = _kind(folder)
    _require_weights(folder)
    try:
        model = _load(_class_of(kind), folder)
        if dtype == torch.float16 and kind == "AutoencoderKL" and model.config["force_upcast"]:
            dtype = torch.float32
        model = model.to(device=device, dtype=dtype).eval().requires_grad_(False)
        codec = model if kind in _OWN else VAECodec(model)
    except CheckpointError:
        raise
    except Exception as error:  # what libraries raise over broken files is of many kinds
        reason = str(error).strip().split("\n")[0]
        raise CheckpointError(f"{folder}: {kind} does not load: {reason}") from error
    return LoadedCodec(codec, name, kind, folder)


def _folder(name: str) -> Path:
    if name == EMBEDDED:
        return locate_model(name, {}) / "codec"
    folder = Path(name)
    if not folder.is_dir():
        folder = _from_hub(name)
    for part in ("", *_PARTS):
        if (folder / part / "config.json").is_file():
            return folder / part
    raise CheckpointError(
        f"codec {name!r}: {folder} holds no config.json, and none in codec/ or vae/; give a folder "
        f"written by save_pretrained, or {EMBEDDED!r}"
    )


def _kind(folder: Path) -> str:
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text("utf-8"))
        kind = config.get("_class_name")
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path}: is no configuration of a model: {error}") from error
    if kind not in {*_OWN, *FAMILIES}:
        raise CheckpointError(
            f"{path}: {kind!r} is no known codec; known: {', '.join([*_OWN, *FAMILIES])}"
        )
    return str(kind)


def _class_of(kind: str) -> Any:
    if kind in _OWN:
        return _OWN[kind]
    import diffusers

    return getattr(diffusers, kind)


def _require_weights(folder: Path) -> None:
    if any(folder.glob("*.safetensors")):
        return
    if any(folder.glob("*.bin")):
        raise CheckpointError(
            f"{folder}: has weights as .bin only, which can hold code and are not read; load it "
            "once where you trust it and save it again: "
            "vae.save_pretrained(folder, safe_serialization=True)"
        )
    raise CheckpointError(
        f"{folder}: has no weights; {_WEIGHTS}.safetensors is missing, fetch the folder again"
    )


def _load(kind: Callable[..., Any], folder: Path) -> Any:
    model, told = kind.from_pretrained(  # type: ignore[attr-defined]
        folder, local_files_only=True, use_safetensors=True, output_loading_info=True
    )
    if told["missing_keys"]:
        missing = sorted(told["missing_keys"])
        raise CheckpointError(
            f"{folder}: weights are incomplete: {len(missing)} missing, such as {missing[0]}; "
            "fetch the folder again"
        )
    for parameter in model.parameters():  # out of the mapped file: sums round by alignment
        parameter.data = parameter.data.clone()
    return model


def _from_hub(name: str) -> Path:
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise CheckpointError(
            f"codec {name!r} is neither {EMBEDDED!r} nor a folder nor a hub id (owner/name)"
        )
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(name, allow_patterns=_HUB_FILES, ignore_patterns=_HUB_VARIANTS)
        )
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise CheckpointError(f"codec {name!r} cannot be had from the hub: {reason}") from error
