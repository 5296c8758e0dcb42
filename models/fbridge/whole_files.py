"""The other parts of a whole model's one file, as folders that diffusers and transformers know.

Files of the latent-diffusion kind (VideoCrafter, FrameBridge's released one) hold the autoencoder,
OpenCLIP's text encoder and, where the picture is looked at, its image encoder beside the network.
They are unpacked once, into the cache. Only the vocabulary is not in them.
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

from torch import Tensor

from fbridge.clip_words import END, START, TOKENS, tokenizer
from fbridge.errors import CheckpointError, FBridgeError
from fbridge.model_files import build
from fbridge.weight_files import read_weights
from fbridge.weight_names import Weights, renamed, split, under
from fbridge.weights import CLIP_MERGES, cache_folder, find_weights, read_file
from fbridge.weights.fetch import fetch

_VAE, _WORDS, _SIGHT = "first_stage_model.", "cond_stage_model.model.", "embedder.model.visual."
_HEAD = {1024: 64, 1280: 80}
"""Features of an attention head by width: OpenCLIP ViT-H's of words and of pictures."""
_SCALE = 0.18215
_INDEX = "model_index.json"
_LAYERS = {
    r"^transformer\.resblocks\.": "encoder.layers.",
    r"\.attn\.in_proj_(weight|bias)$": r".self_attn.in_proj.\1",
    r"\.attn\.": ".self_attn.",
    r"\.ln_(\d)\.": r".layer_norm\1.",
    r"\.mlp\.c_fc\.": ".mlp.fc1.",
    r"\.mlp\.c_proj\.": ".mlp.fc2.",
}
_TEXT = {
    r"^token_embedding\.": "embeddings.token_embedding.",
    "^positional_embedding$": "embeddings.position_embedding.weight",
    r"^ln_final\.": "final_layer_norm.",
}
_IMAGE = {
    "^class_embedding$": "embeddings.class_embedding",
    "^positional_embedding$": "embeddings.position_embedding.weight",
    r"^conv1\.": "embeddings.patch_embedding.",
    r"^ln_pre\.": "pre_layrnorm.",  # their spelling
    r"^ln_post\.": "post_layernorm.",
}


def holds_parts(names: Iterable[str]) -> bool:
    """Whether a file's tensors are those of an autoencoder and a text encoder too."""
    held = list(names)
    return all(any(name.startswith(part) for name in held) for part in (_VAE, _WORDS))


def find_vocabulary(path: Path, given: str | None = None) -> Path | None:
    """A `tokenizer/` in a given folder or beside a file, or CLIP's merges; None without either."""
    for place in (*([Path(given)] if given else []), path.parent):
        if (place / "tokenizer/tokenizer_config.json").is_file():
            return place / "tokenizer"
    try:
        return find_weights(CLIP_MERGES)
    except CheckpointError:
        return None


def unpack(path: Path, given: str | None = None, *, download: bool = False) -> Path:
    """The folder with `vae/`, `text_encoder/`, `tokenizer/` and, if it is there, `image_encoder/`.

    Args:
        path: of the whole model's file.
        given: where a `tokenizer/` may lie, before the folder of the file; without one CLIP's own
            is made of its merges.
        download: fetch those where they are not here.

    Raises:
        CheckpointError: the vocabulary is nowhere, a part is not what it should be, or the cache
            has no room.
    """
    vocabulary = find_vocabulary(path, given)
    if vocabulary is None and download:
        for _ in fetch(CLIP_MERGES):
            pass
        vocabulary = find_weights(CLIP_MERGES)
    if vocabulary is None:
        raise CheckpointError(
            f"{path}: holds all parts but the text encoder's vocabulary; fetch it once with "
            "--download or fbridge weights fetch clip-merges (0.5 MB), or put tokenizer/ beside "
            "the file"
        )
    found = vocabulary
    home = unpack_codec(path).parent

    def words(folder: Path) -> None:
        _encoder(read_weights(path), path, folder)

    def tokens(folder: Path) -> None:
        rows = len(read_weights(path)[f"{_WORDS}token_embedding.weight"])
        _vocabulary(found, rows).save_pretrained(folder)

    _once(path, home / "text_encoder", words)
    _once(path, home / "tokenizer", tokens)
    if any(name.startswith(_SIGHT) for name in read_weights(path)):
        _once(path, home / "image_encoder", lambda folder: _image_encoder(path, folder))
    if not (home / _INDEX).is_file():
        part = home / f"{_INDEX}.{uuid.uuid4().hex[:8]}"
        part.write_text(
            json.dumps({"_class_name": "VideoCrafter", "reading": [TOKENS, True, True]})
        )
        part.replace(home / _INDEX)
    return home


def unpack_codec(path: Path) -> Path:
    """The folder of a whole file's autoencoder.

    Raises:
        CheckpointError: it has none, or the cache has no room.
    """
    stat = path.stat()
    told = f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}"
    home = cache_folder() / "unpacked" / hashlib.sha256(told.encode()).hexdigest()[:16]
    _once(path, home / "vae", lambda folder: _autoencoder(read_weights(path), path, folder))
    return home / "vae"


def _once(path: Path, folder: Path, write: Callable[[Path], None]) -> None:
    """Write a folder of a file's parts if it is not there; what is there is whole."""
    if folder.is_dir():
        return
    part = folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:8]}")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        write(part)
        part.rename(folder)
    except FBridgeError:
        raise
    except KeyError as error:
        raise CheckpointError(
            f"{path}: is incomplete: of its {folder.name} {error} is missing; get the file again"
        ) from error
    except Exception as error:  # safetensors has its own error for a full disk
        if folder.is_dir():  # another process was faster
            return
        reason = str(error).strip().split("\n")[0]
        raise CheckpointError(
            f"{folder}: cannot be unpacked: {reason}; FBRIDGE_CACHE names another place for it"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def autoencoder_config(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """The configuration of a whole file's autoencoder, from the shapes of its tensors."""
    held = {name[len(_VAE) :]: shape for name, shape in shapes.items() if name.startswith(_VAE)}
    levels = _count(held, "encoder.down.")
    return {
        "_class_name": "AutoencoderKL",
        "in_channels": held["encoder.conv_in.weight"][1],
        "out_channels": held["decoder.conv_out.weight"][0],
        "block_out_channels": [
            held[f"encoder.down.{level}.block.0.conv2.weight"][0] for level in range(levels)
        ],
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "layers_per_block": _count(held, "encoder.down.0.block."),
        "latent_channels": held["post_quant_conv.weight"][0],
        "scaling_factor": _SCALE,
        "sample_size": 512,  # the side of diffusers' tiles
        "force_upcast": False,
    }


def count_numbers(shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, int]:
    """How many weights a whole file's autoencoder has, and its encoders of words and picture."""
    vae, words = (
        sum(prod(shape) for name, shape in shapes.items() if name.startswith(parts))
        for parts in (_VAE, (_WORDS, _SIGHT))
    )
    return vae, words


def _autoencoder(weights: Mapping[str, Tensor], path: Path, folder: Path) -> None:
    from diffusers import AutoencoderKL
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    held = under(weights, _VAE)
    if not held:
        raise CheckpointError(f"{path}: holds no autoencoder (no {_VAE}*)")
    config = autoencoder_config({name: tuple(each.shape) for name, each in weights.items()})
    own = {name: tensor for name, tensor in held.items() if not name.startswith("loss.")}
    build(AutoencoderKL, config, convert_ldm_vae_checkpoint(own, config), path).save_pretrained(
        folder
    )


def _encoder(weights: Mapping[str, Tensor], path: Path, folder: Path) -> None:
    """OpenCLIP's text encoder without its last layer, which is not read ("penultimate")."""
    from transformers import CLIPTextConfig, CLIPTextModel

    held = under(weights, _WORDS)
    rows, width = held["token_embedding.weight"].shape
    last = _count(held, "transformer.resblocks.") - 1
    own = renamed(
        held,
        {**_LAYERS, **_TEXT},
        drop=rf"^transformer\.resblocks\.{last}\.|^(text_projection|logit_scale|attn_mask)$",
    )
    config = CLIPTextConfig(
        vocab_size=rows,
        hidden_size=width,
        num_hidden_layers=last,
        max_position_embeddings=len(held["positional_embedding"]),
        bos_token_id=rows - 2,
        eos_token_id=rows - 1,
        **_sizes(own, width),
    )
    _save(CLIPTextModel(config), own, path, folder)


def _image_encoder(path: Path, folder: Path) -> None:
    """OpenCLIP's image encoder, whose last states are read before their norm and projection."""
    from transformers import CLIPVisionConfig, CLIPVisionModel

    held = under(read_weights(path), _SIGHT)
    own = renamed(held, {**_LAYERS, **_IMAGE}, drop="^proj$")
    width, _, patch, _ = held["conv1.weight"].shape
    config = CLIPVisionConfig(
        hidden_size=width,
        num_hidden_layers=_count(held, "transformer.resblocks."),
        patch_size=patch,
        image_size=patch * round((len(held["positional_embedding"]) - 1) ** 0.5),
        **_sizes(own, width),
    )
    _save(CLIPVisionModel(config), own, path, folder)


def _sizes(own: Weights, width: int) -> dict[str, Any]:
    return {
        "intermediate_size": len(own["encoder.layers.0.mlp.fc1.bias"]),
        "num_attention_heads": width // _HEAD.get(width, 64),
        "hidden_act": "gelu",
    }


def _save(model: Any, own: Weights, path: Path, folder: Path) -> None:
    own = split(own, "in_proj", ("q_proj", "k_proj", "v_proj"))
    known = model.state_dict()
    nest = "" if any(name in known for name in own) else next(iter(known)).split(".")[0] + "."
    own = {nest + name: tensor.contiguous() for name, tensor in own.items()}
    if wrong := sorted(own.keys() ^ known.keys()):
        raise CheckpointError(
            f"{path}: its {folder.name.split('.')[0]} is no OpenCLIP one: {wrong[0]} does not fit"
        )
    model.load_state_dict(own)
    model.save_pretrained(folder)


def _vocabulary(found: Path, rows: int) -> Any:
    """A tokenizer of so many words, from its folder or CLIP's merges."""
    if not found.is_dir():
        return _tokenizer(read_file(CLIP_MERGES, found).decode("utf-8"))
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(found, local_files_only=True)
    if len(tokenizer) != rows:
        raise CheckpointError(
            f"{found}: knows {len(tokenizer)} words, and the text encoder {rows}; it is another "
            "model's; give its own, or CLIP's by fbridge weights fetch clip-merges"
        )
    return tokenizer


def _tokenizer(merges: str) -> Any:
    """CLIP's, as OpenCLIP uses it: filled with the number 0."""
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    core = tokenizer(merges)
    numbers = [(word, core.token_to_id(word)) for word in (START, END)]
    core.post_processor = TemplateProcessing(single=f"{START} $A {END}", special_tokens=numbers)
    return PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token=START, eos_token=END, unk_token=END,
        pad_token=core.id_to_token(0), model_max_length=TOKENS,
    )  # fmt: skip


def _count(names: Iterable[str], before: str) -> int:
    """How many modules of a list there are."""
    numbers = [int(n[len(before) :].split(".")[0]) for n in names if n.startswith(before)]
    return 1 + max(numbers, default=-1)
