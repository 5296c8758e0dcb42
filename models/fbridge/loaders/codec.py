"""Codecs by name: the embedded one, folders, hub ids, and those inside single files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from operator import methodcaller
from pathlib import Path
from typing import Any

import torch

from fbridge.codecs import Codec
from fbridge.codecs.motion import MotionCodec
from fbridge.codecs.pixel import PixelCodec
from fbridge.codecs.scene_codec import SceneCodec
from fbridge.codecs.vae import VAE_KINDS, VAECodec
from fbridge.errors import CheckpointError, reason
from fbridge.files.base_file import single_file_facts
from fbridge.files.configs import read_json
from fbridge.files.finite import check_weights
from fbridge.files.hashing import hash_model
from fbridge.files.hub import NOT_READ
from fbridge.files.lazy_weights import LazyWeights
from fbridge.files.modules import build, load_folder
from fbridge.files.tensors import open_weights, read_header
from fbridge.files.weight_files import find_weight_file, hash_weight_file
from fbridge.loaders.locate import EMBEDDED, locate_folder, packaged_file
from fbridge.loaders.parts import AUTOENCODERS, find_part, open_part, part_config
from fbridge.loaders.single_file import find_single_file, unpack_codec

_OWN = {"MotionCodec": MotionCodec, "PixelCodec": PixelCodec, "SceneCodec": SceneCodec}
_KNOWN = ", ".join([*_OWN, *VAE_KINDS])
_PARTS = ("", "codec", "vae")
"""Where a folder has it: itself, or as a pipeline."""
_WEIGHTS = "diffusion_pytorch_model"
_SCALINGS = ("scaling_factor", "shift_factor", "latents_mean", "latents_std", "scale")
_HUB_FILES = [
    "model_index.json",
    *(
        f"{part}{file}"
        for part in ("", "codec/", "vae/")
        for file in ("config.json", f"{_WEIGHTS}*.safetensors", f"{_WEIGHTS}*.json")
    ),
]
_Take = Callable[[LazyWeights], LazyWeights]


@dataclass(frozen=True)
class LoadedCodec:
    """A codec and where it is from.

    Attributes:
        codec: ready for use.
        name: as it was asked for.
        kind: its class, as the configuration names it.
        folder: of its configuration and weights, or the single file that holds it.
    """

    codec: Codec
    name: str
    kind: str
    folder: Path

    @cached_property
    def hash(self) -> str:
        """sha256 over its weights and configuration; of one in a single file, of that file."""
        return hash_weight_file(self.folder) if self.folder.is_file() else hash_model(self.folder)

    @cached_property
    def fingerprint(self) -> str:
        """See `fingerprint`."""
        return fingerprint(self.codec)


def load_codec(
    name: str, *, device: str, dtype: torch.dtype = torch.float32, **hub: Any
) -> LoadedCodec:
    """Load "embedded", a codec's or pipeline's folder, those of a hub id, or a single file's codec.

    Args:
        name: of the codec.
        device: where it runs.
        dtype: of its network; latents are float32 whatever it is. An image VAE that declares half
            precision too little for it (`force_upcast`) stays float32 instead of float16.
        hub: see `fbridge.files.hub.fetch_snapshot`.

    Raises:
        CheckpointError: there is none, it is of an unknown class, its weights do not load, or hold
            NaN or infinity.
    """
    path, config, take = _find(name, **hub)
    kind = str(config.get("_class_name"))
    if kind not in {*_OWN, *VAE_KINDS}:
        raise CheckpointError(f"{path}: {kind!r} is no known codec; known: {_KNOWN}")
    if take is None:
        _require_weights(path)
    if dtype == torch.float16 and needs_float32(config):
        dtype = torch.float32
    try:
        model = (
            _from_folder(_class_of(kind), config, path, dtype)
            if take is None
            else build(_class_of(kind), config, take(open_weights(path)), path, dtype)
        )
        check_weights(model, f"{path}: {kind}")
        model = model.to(device=device).eval().requires_grad_(False)
        codec = model if kind in _OWN else VAECodec(model)
    except CheckpointError:
        raise
    except Exception as error:  # what libraries raise over broken files is of many kinds
        raise CheckpointError(f"{path}: {kind} does not load: {reason(error)}") from error
    return LoadedCodec(codec, name, kind, path)


def vae_class(config: Mapping[str, Any]) -> Any:
    """The class of diffusers that an autoencoder's configuration is of.

    Raises:
        CheckpointError: it is not known.
    """
    kind = config["_class_name"]
    if kind not in VAE_KINDS:
        raise CheckpointError(
            f"an autoencoder of class {kind!r} is not supported; known: {', '.join(VAE_KINDS)}"
        )
    return _class_of(kind)


def needs_float32(config: Mapping[str, Any]) -> bool:
    """Whether an autoencoder's configuration declares half precision too little for it."""
    return config["_class_name"] == "AutoencoderKL" and bool(config.get("force_upcast", True))


def fingerprint(codec: Codec) -> str:
    """sha256 over a codec's weights in half precision and the numbers that scale its latents.

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


def _find(name: str, **hub: Any) -> tuple[Path, dict[str, Any], _Take | None]:
    """Folder or single file of a codec, its configuration, and what takes it out of that file."""
    path = Path(name) if Path(name).exists() else packaged_file(name)
    file = None if path is None else find_single_file(path)
    if file is not None:
        header = read_header(file)
        if (facts := single_file_facts(file, header)) is not None:
            return file, facts["vae"], methodcaller("within", "vae.")
        if (part := find_part(header.shapes, AUTOENCODERS)) is not None:
            return file, part_config(part, header.shapes), methodcaller("converted", part.convert)
        folder = unpack_codec(file)
        return folder, read_json(folder / "config.json"), None
    folder = locate_folder(name, _HUB_FILES, what="codec", ignore=NOT_READ, **hub)
    for place in (folder / part for part in _PARTS):
        if (place / "config.json").is_file():
            return place, read_json(place / "config.json"), None
    raise CheckpointError(
        f"codec {name!r}: {folder} holds no config.json, and none in codec/ or vae/; give a folder "
        f"written by save_pretrained, or {EMBEDDED!r}"
    )


def _from_folder(kind: Any, config: Mapping[str, Any], folder: Path, dtype: torch.dtype) -> Any:
    part = open_part(folder)
    if part is None:
        return load_folder(kind, folder, dtype)
    path, weights = part
    return build(kind, config, weights, path, dtype)


def _class_of(kind: str) -> Any:
    if kind in _OWN:
        return _OWN[kind]
    import diffusers

    return getattr(diffusers, kind)


def _require_weights(folder: Path) -> None:
    if find_weight_file(folder) is not None:
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
