"""Single files of makers with all parts of a model, unpacked for diffusers and transformers.

Files of the latent-diffusion kind (VideoCrafter, FrameBridge's checkpoint of it) hold the
autoencoder, OpenCLIP's text encoder and sometimes its image encoder beside the network, but not the
tokenizer's vocabulary. Each part is unpacked once, into a folder of the cache.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import Callable, Iterable, Mapping
from math import prod
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from fbridge.errors import CheckpointError, reason
from fbridge.files.key_mapping import Weights, count_modules
from fbridge.files.lazy_weights import LazyWeights
from fbridge.files.modules import build
from fbridge.files.tensors import open_weights, read_header
from fbridge.files.weight_files import find_weight_file, is_weight_file
from fbridge.loaders import open_clip
from fbridge.weights import CLIP_MERGES, cache_folder, find_weights
from fbridge.weights.fetch import fetch

_VAE, _WORDS, _SIGHT = "first_stage_model.", "cond_stage_model.model.", "embedder.model.visual."
_SCALE = 0.18215
_READING = {"_class_name": "VideoCrafterUNet"}
"""The unpacked folder's `model_index.json`; its class decides how prompts are encoded."""
_TOKENIZER = "tokenizer/tokenizer_config.json"


def holds_other_parts(names: Iterable[str]) -> bool:
    """Whether a file holds an autoencoder and a text encoder too."""
    held = list(names)
    return all(any(name.startswith(part) for name in held) for part in (_VAE, _WORDS))


def find_single_file(path: Path) -> Path | None:
    """The file of weights that a path is, or a single file with all parts that is alone in it."""
    if path.is_file():
        return path if is_weight_file(path) else None
    inner = find_weight_file(path)
    if inner is None or inner.parent != path or (path / "config.json").is_file():
        return None
    return inner if any(name.startswith(_VAE) for name in read_header(inner).shapes) else None


def find_tokenizer(path: Path, given: str | None = None) -> Path | None:
    """Where the vocabulary of a single file is; None where it is nowhere.

    Args:
        path: of the file.
        given: a folder with a `tokenizer/`; None looks beside the file, in what was unpacked
            before, and for CLIP's merges.
    """
    for place in (path.parent, _home(path)) if given is None else (Path(given),):
        if (place / _TOKENIZER).is_file():
            return place / "tokenizer"
    try:
        return find_weights(CLIP_MERGES) if given is None else None
    except CheckpointError:
        return None


def unpack(path: Path, given: str | None = None, *, download: bool = False) -> Path:
    """The folder with `vae/`, `text_encoder/`, `tokenizer/` and, if it is there, `image_encoder/`.

    Args:
        path: of the file.
        given: see `find_tokenizer`.
        download: fetch CLIP's merges where no vocabulary is here.

    Raises:
        CheckpointError: the vocabulary is nowhere, a part does not fit, or the cache has no room.
    """
    place = find_tokenizer(path, given)
    if place is None and download:
        for _ in fetch(CLIP_MERGES):
            pass
        place = find_weights(CLIP_MERGES)
    if place is None:
        raise CheckpointError(
            f"{path}: holds all parts but the text encoder's vocabulary; fetch it once with "
            "fbridge weights fetch clip-merges (0.5 MB), or put its tokenizer/ beside the file"
        )
    home, weights = unpack_codec(path).parent, open_weights(path)
    encoders = {"text_encoder": (_WORDS, open_clip.text_encoder)}
    if any(name.startswith(_SIGHT) for name in weights):
        encoders["image_encoder"] = (_SIGHT, open_clip.image_encoder)
    for name, (part, make) in encoders.items():
        once(path, home / name, _writing(make, weights.within(part)))
    if place != home / "tokenizer":
        rows = weights.shapes[f"{_WORDS}token_embedding.weight"][0]
        record, source = home / "tokenizer.from", stamp(place)
        if record.is_file() and record.read_text() != source:
            shutil.rmtree(home / "tokenizer", ignore_errors=True)
            record.unlink(missing_ok=True)
        once(
            path,
            home / "tokenizer",
            lambda to: open_clip.load_tokenizer(place, rows).save_pretrained(to),
        )
        once(path, record, lambda to: to.write_text(source))
    once(path, home / "model_index.json", lambda to: to.write_text(json.dumps(_READING)))
    return home


def unpack_codec(path: Path) -> Path:
    """The folder of a single file's autoencoder.

    Raises:
        CheckpointError: it has none, or the cache has no room.
    """
    once(path, _home(path) / "vae", lambda to: _autoencoder(open_weights(path), path, to))
    return _home(path) / "vae"


def _writing(make: Callable[[Weights], Any], held: LazyWeights) -> Callable[[Path], object]:
    return lambda folder: make(dict(held)).save_pretrained(folder)


def _home(path: Path) -> Path:
    return cache_folder() / "unpacked" / hashlib.sha256(stamp(path).encode()).hexdigest()[:16]


def stamp(path: Path) -> str:
    """Place, size and time of a file: what changes with it."""
    stat = (path / "tokenizer_config.json" if path.is_dir() else path).stat()
    return f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}"


def once(path: Path, place: Path, write: Callable[[Path], object]) -> None:
    """Write a folder or file of the cache if it is not there, whole or not at all."""
    if place.exists():
        return
    part = place.with_name(f"{place.name}.{uuid.uuid4().hex[:8]}")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        write(part)
        part.rename(place)
    except CheckpointError as error:
        raise CheckpointError(_of(path, error)) from error
    except KeyError as error:
        raise CheckpointError(
            f"{path}: is incomplete: of its {place.name} {error} is missing; get the file again"
        ) from error
    except (OSError, SafetensorError) as error:
        if place.exists():  # another process was faster
            return
        raise CheckpointError(
            f"{place}: cannot be unpacked: {error}; FBRIDGE_CACHE names another place for it"
        ) from error
    except (ValueError, RuntimeError) as error:  # of shapes that do not belong together
        raise CheckpointError(
            f"{path}: its {place.name} does not fit its kind: {reason(error)}; get the file again"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
        part.unlink(missing_ok=True)


def _of(path: Path, error: CheckpointError) -> str:
    return str(error) if str(path) in str(error) else f"{path}: {error}"


def autoencoder_config(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """The configuration of a single file's autoencoder, from the shapes of its tensors.

    Raises:
        CheckpointError: it lacks one of them.
    """
    held = {name[len(_VAE) :]: shape for name, shape in shapes.items() if name.startswith(_VAE)}
    levels = count_modules(held, "encoder.down.")
    try:
        widths = [held[f"encoder.down.{n}.block.0.conv2.weight"][0] for n in range(levels)]
        return {
            "_class_name": "AutoencoderKL",
            "in_channels": held["encoder.conv_in.weight"][1],
            "out_channels": held["decoder.conv_out.weight"][0],
            "block_out_channels": widths,
            "down_block_types": ["DownEncoderBlock2D"] * levels,
            "up_block_types": ["UpDecoderBlock2D"] * levels,
            "layers_per_block": count_modules(held, "encoder.down.0.block."),
            "latent_channels": held["post_quant_conv.weight"][0],
            "scaling_factor": _SCALE,
            "sample_size": 512,  # the side of diffusers' tiles
            "force_upcast": False,
        }
    except KeyError as error:
        raise CheckpointError(f"its autoencoder lacks {error}; get the file again") from error


def count_numbers(shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, int]:
    """Numbers of weights of a single file's autoencoder, and of its text and image encoders."""
    vae, words = (
        sum(prod(shape) for name, shape in shapes.items() if name.startswith(parts))
        for parts in (_VAE, (_WORDS, _SIGHT))
    )
    return vae, words


def _autoencoder(weights: LazyWeights, path: Path, folder: Path) -> None:
    from diffusers import AutoencoderKL
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    held = dict(weights.within(_VAE))
    if not held:
        raise CheckpointError(f"holds no autoencoder (no {_VAE}*)")
    config = autoencoder_config(weights.shapes)
    own = {name: tensor for name, tensor in held.items() if not name.startswith("loss.")}
    model = build(AutoencoderKL, config, convert_ldm_vae_checkpoint(own, config), path)
    model.save_pretrained(folder)
