"""Codecs by name: the embedded one, folders, hub ids, and the one inside a base's single file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
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
from fbridge.files.modules import build, read_single_file
from fbridge.files.tensors import hash_weight_file
from fbridge.loaders.locate import EMBEDDED, hash_model, is_hub_id, locate_model, packaged_file
from fbridge.loaders.single_file import find_single_file, unpack_codec

_OWN = {"MotionCodec": MotionCodec, "PixelCodec": PixelCodec}
_PARTS = ("codec", "vae")
"""Where a pipeline folder has it."""
_WEIGHTS = "diffusion_pytorch_model"
_SCALINGS = ("scaling_factor", "shift_factor", "latents_mean", "latents_std", "scale")
_HUB_FILES = [
    "model_index.json",
    *(
        f"{part}{file}"
        for part in ("", *(f"{part}/" for part in _PARTS))
        for file in ("config.json", f"{_WEIGHTS}*.safetensors", f"{_WEIGHTS}*.json")
    ),
]
_HUB_VARIANTS = ["*.fp16*", "*.bf16*", "*.non_ema*"]


@dataclass(frozen=True)
class LoadedCodec:
    """A codec and where it is from.

    Attributes:
        codec: ready for use.
        name: as it was asked for.
        kind: its class, as the configuration names it.
        folder: of its configuration and weights, or the base's file that it is in.
    """

    codec: Codec
    name: str
    kind: str
    folder: Path

    @cached_property
    def hash(self) -> str:
        """sha256 over its weights and configuration files; of one in a base's file, of that."""
        return hash_weight_file(self.folder) if self.folder.is_file() else hash_model(self.folder)

    @cached_property
    def fingerprint(self) -> str:
        """What copies of a codec in other files and precisions have in common."""
        return fingerprint(self.codec)


def load_codec(name: str, *, device: str, dtype: torch.dtype = torch.float32) -> LoadedCodec:
    """Load "embedded", a codec's or pipeline's folder, those of a hub id, or a base's one file.

    Args:
        name: of the codec.
        device: where it runs.
        dtype: of its network; latents are float32 whatever it is. An image VAE that says that half
            precision is not enough for it (`force_upcast`) stays float32 instead of float16.

    Raises:
        CheckpointError: there is none, it is of an unknown class, or its weights do not load.
    """
    path = Path(name) if Path(name).exists() else packaged_file(name)
    held = None if path is None or not path.is_file() else read_single_file(path)
    if held is not None:
        assert path is not None
        folder, kind = path, str(held.facts["vae"]["_class_name"])
        if kind not in FAMILIES:
            raise CheckpointError(f"{path}: its {kind!r} is no known codec; known: {_known()}")
    else:
        whole = None if path is None else find_single_file(path)
        folder = _folder(name) if whole is None else unpack_codec(whole)
        kind = _kind(folder)
        _require_weights(folder)
    try:
        model = (
            _load(_class_of(kind), folder)
            if held is None
            else build(_class_of(kind), held.facts["vae"], held.part("vae."), folder)
        )
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


def vae_class(config: Mapping[str, Any]) -> Any:
    """The class of diffusers that an autoencoder's configuration is of.

    Raises:
        CheckpointError: it is not known.
    """
    kind = config["_class_name"]
    if kind not in FAMILIES:
        raise CheckpointError(
            f"an autoencoder of class {kind!r} is not supported; known: {', '.join(FAMILIES)}"
        )
    return _class_of(kind)


def fingerprint(codec: Codec) -> str:
    """sha256 over what a codec's weights are in half precision, and the numbers that scale latents.

    Equal for copies of one codec in other files and precisions.
    """
    model: Any = getattr(codec, "vae", codec)
    digest = hashlib.sha256(type(model).__name__.encode())
    for name in _SCALINGS:
        digest.update(f"{name} {model.config.get(name)}\n".encode())
    for name, tensor in sorted(model.state_dict().items()):
        half = tensor.detach().to("cpu", torch.float16).contiguous().reshape(-1)
        digest.update(name.encode() + half.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _known() -> str:
    return ", ".join([*_OWN, *FAMILIES])


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
        raise CheckpointError(f"{path}: {kind!r} is no known codec; known: {_known()}")
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
    if not is_hub_id(name):
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
