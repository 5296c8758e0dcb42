"""Autoencoders and text encoders in single files, by the names of their tensors.

ComfyUI's users have a model's parts so, and its makers publish some so. Configurations are made of
the tensors' shapes; names become those of diffusers and transformers when a part is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from fbridge.errors import CheckpointError, reason
from fbridge.files.hashing import ORIGINAL
from fbridge.files.key_mapping import Weights, count_modules, rename_keys
from fbridge.files.lazy_weights import LazyWeights
from fbridge.files.tensors import open_weights, read_header
from fbridge.files.weight_files import find_weight_file
from fbridge.loaders import wan_autoencoder

Shapes = Mapping[str, tuple[int, ...]]
VOCABULARY = "spiece_model"
"""The tensor with the bytes of sentencepiece's file in ComfyUI's text encoders."""


class Part(NamedTuple):
    """A part of some models in a single file.

    Attributes:
        name: what it is.
        keys: names of tensors that every such file has.
        config: of diffusers' or transformers' class, from the shapes of its tensors; raises
            KeyError where one is missing.
        convert: to the names of that class.
        absent: names of tensors that no such file has.
    """

    name: str
    keys: tuple[str, ...]
    config: Callable[[Shapes], dict[str, Any]]
    convert: Callable[[Weights], Weights]
    absent: tuple[str, ...] = ()


def _t5(weights: Weights) -> Weights:
    """The encoder alone; its table of words may stand under its own name."""
    held = {name: tensor for name, tensor in weights.items() if name.startswith("encoder.")}
    own = held.pop("encoder.embed_tokens.weight", None)
    return {**held, "shared.weight": weights["shared.weight"] if own is None else own}


_WAN_T5_NAMES = {
    r"^token_embedding\.": "shared.",
    r"^norm\.": "encoder.final_layer_norm.",
    r"^blocks\.(\d+)\.": r"encoder.block.\1.layer.",
    r"\.layer\.norm1\.": ".layer.0.layer_norm.",
    r"\.layer\.norm2\.": ".layer.1.layer_norm.",
    r"\.layer\.attn\.": ".layer.0.SelfAttention.",
    r"\.layer\.pos_embedding\.embedding\.": ".layer.0.SelfAttention.relative_attention_bias.",
    r"\.layer\.ffn\.gate\.0\.": ".layer.1.DenseReluDense.wi_0.",
    r"\.layer\.ffn\.fc1\.": ".layer.1.DenseReluDense.wi_1.",
    r"\.layer\.ffn\.fc2\.": ".layer.1.DenseReluDense.wo.",
}


_GGUF_NAMES = {
    r"^token_embd\.": "shared.",
    r"^enc\.output_norm\.": "encoder.final_layer_norm.",
    r"^enc\.blk\.(\d+)\.": r"encoder.block.\1.layer.",
    r"\.attn_norm\.": ".0.layer_norm.",
    r"\.ffn_norm\.": ".1.layer_norm.",
    r"\.attn_rel_b\.": ".0.SelfAttention.relative_attention_bias.",
    r"\.attn_([qkvo])\.": r".0.SelfAttention.\1.",
    r"\.ffn_gate\.": ".1.DenseReluDense.wi_0.",
    r"\.ffn_up\.": ".1.DenseReluDense.wi_1.",
    r"\.ffn_down\.": ".1.DenseReluDense.wo.",
}
"""Of llama.cpp, in its GGUF files of T5's and UMT5's encoders."""


def _t5_config(shapes: Shapes, kind: str = "t5") -> dict[str, Any]:
    """Of version 1.1, whose feed-forward layers are gated."""
    first = "encoder.block.0.layer."
    buckets, heads = shapes[f"{first}0.SelfAttention.relative_attention_bias.weight"]
    words, width = shapes["shared.weight"]
    return {
        "architectures": [f"{kind.upper()}EncoderModel"],
        "model_type": kind,
        "vocab_size": words,
        "d_model": width,
        "d_kv": shapes[f"{first}0.SelfAttention.q.weight"][0] // heads,
        "d_ff": shapes[f"{first}1.DenseReluDense.wi_0.weight"][0],
        "num_layers": count_modules(shapes, "encoder.block."),
        "num_heads": heads,
        "relative_attention_num_buckets": buckets,
        "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": False,
    }


def _clip(weights: Weights) -> Weights:
    """The text encoder, without what makes it comparable with pictures."""
    return {
        name: tensor
        for name, tensor in weights.items()
        if name.startswith("text_model.") and not name.endswith(".position_ids")
    }


def _clip_config(shapes: Shapes) -> dict[str, Any]:
    """Of CLIP's own ViT-L: heads of 64 features, and the end of a text is the last word."""
    words, width = shapes["text_model.embeddings.token_embedding.weight"]
    return {
        "architectures": ["CLIPTextModel"],
        "model_type": "clip_text_model",
        "vocab_size": words,
        "hidden_size": width,
        "intermediate_size": shapes["text_model.encoder.layers.0.mlp.fc1.weight"][0],
        "num_hidden_layers": count_modules(shapes, "text_model.encoder.layers."),
        "num_attention_heads": max(width // 64, 1),
        "max_position_embeddings": shapes["text_model.embeddings.position_embedding.weight"][0],
        "hidden_act": "quick_gelu",
        "bos_token_id": words - 2,
        "eos_token_id": words - 1,
        "pad_token_id": words - 1,
    }


_SECOND_BIAS = "encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight"
_T5_KEYS = ("encoder.block.0.layer.0.SelfAttention.q.weight", "encoder.final_layer_norm.weight")
CLIP = Part(
    "CLIP's text encoder",
    ("text_model.embeddings.token_embedding.weight", "text_model.final_layer_norm.weight"),
    _clip_config,
    _clip,
)
_T5 = Part("T5's encoder", _T5_KEYS, _t5_config, _t5, absent=(_SECOND_BIAS,))
_UMT5 = Part("UMT5's encoder", (*_T5_KEYS, _SECOND_BIAS), partial(_t5_config, kind="umt5"), _t5)
_WAN_UMT5 = Part(
    "UMT5's encoder under Wan's names",
    ("token_embedding.weight", "blocks.0.pos_embedding.embedding.weight"),
    partial(_t5_config, kind="umt5"),
    partial(rename_keys, rules=_WAN_T5_NAMES),
)
_GGUF_KEYS, _GGUF_SECOND = ("enc.blk.0.attn_q.weight",), "enc.blk.1.attn_rel_b.weight"
_GGUF_T5 = Part(
    "T5's encoder in GGUF",
    _GGUF_KEYS,
    _t5_config,
    partial(rename_keys, rules=_GGUF_NAMES),
    absent=(_GGUF_SECOND,),
)
_GGUF_UMT5 = Part(
    "UMT5's encoder in GGUF",
    (*_GGUF_KEYS, _GGUF_SECOND),
    partial(_t5_config, kind="umt5"),
    partial(rename_keys, rules=_GGUF_NAMES),
)
_WAN_VAE = Part(
    "Wan 2.1's autoencoder",
    ("encoder.conv1.weight", "decoder.conv1.weight", "encoder.downsamples.0.residual.2.weight"),
    wan_autoencoder.config,
    wan_autoencoder.convert,
)
_WAN22_VAE = Part(
    "Wan 2.2's autoencoder",
    ("encoder.conv1.weight", "encoder.downsamples.0.downsamples.0.residual.2.weight"),
    wan_autoencoder.config22,
    partial(rename_keys, rules=wan_autoencoder.NAMES22),
)
_KNOWN: dict[str, dict[str, tuple[Part, ...]]] = {
    "wan": {"vae": (_WAN_VAE, _WAN22_VAE), "text_encoder": (_UMT5, _WAN_UMT5, _GGUF_UMT5)},
    "ltx": {"text_encoder": (_T5, _GGUF_T5)},
    "cogvideox": {"text_encoder": (_T5, _GGUF_T5)},
    "latte": {"text_encoder": (_T5, _GGUF_T5)},
    "hunyuan": {"text_encoder_2": (CLIP,)},
    "animatediff": {"text_encoder": (CLIP,)},
}
"""What may stand for a part's folder in a family's pipeline."""


AUTOENCODERS = tuple(part for family in _KNOWN.values() for part in family.get("vae", ()))


def known_parts(family: str, folder: str) -> tuple[Part, ...]:
    """What may stand for a folder ("vae", "text_encoder", ...) of a family's pipeline."""
    return _KNOWN.get(family, {}).get(folder, ())


def find_part(shapes: Shapes, known: Iterable[Part]) -> Part | None:
    """Which of some parts a file's tensors are of; None if of none."""
    return next(
        (
            part
            for part in known
            if all(key in shapes for key in part.keys)
            and not any(key in shapes for key in part.absent)
        ),
        None,
    )


def part_config(part: Part, shapes: Shapes) -> dict[str, Any]:
    """The configuration of a part's class.

    Raises:
        CheckpointError: a tensor is missing, or it is another network of these names.
    """
    empty = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    try:
        held = {name: tuple(tensor.shape) for name, tensor in part.convert(empty).items()}
        return part.config(held)
    except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        raise CheckpointError(
            f"looks like {part.name} but is another network, or incomplete ({reason(error)})"
        ) from error


def original_part(folder: Path) -> tuple[Path, Part] | None:
    """The file of a part's folder that has its makers' names, and the part; None of others."""
    weights = find_weight_file(folder)
    if weights is None or weights.stem != ORIGINAL:
        return None
    every = (part for family in _KNOWN.values() for parts in family.values() for part in parts)
    part = find_part(read_header(weights).shapes, every)
    return None if part is None else (weights, part)


def open_part(folder: Path) -> tuple[Path, LazyWeights] | None:
    """Weights of a part's folder, where its class cannot read them itself; None if it can.

    It cannot where they have their makers' names or scales.

    Raises:
        CheckpointError: the file is broken.
    """
    found = original_part(folder)
    if found is not None:
        path, part = found
        return path, open_weights(path).converted(part.convert)
    weights = find_weight_file(folder)
    if weights is None or not read_header(weights).scales:
        return None
    return weights, open_weights(weights)
