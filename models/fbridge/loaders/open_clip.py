"""OpenCLIP's encoders and vocabulary (ViT-H's, of Stable Diffusion 2) as those of transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fbridge.conditioning.clip_tokenizer import tokenizer
from fbridge.errors import CheckpointError
from fbridge.files.key_mapping import Weights, count_modules, rename_keys, split_layers
from fbridge.loaders.text_encoder import auto_tokenizer
from fbridge.weights import CLIP_MERGES, read_file

_HEAD = {1024: 64, 1280: 80}
"""Features of an attention head by width: ViT-H's of words and of pictures."""
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


def text_encoder(held: Weights) -> Any:
    """A CLIPTextModel without OpenCLIP's last layer, which is not read ("penultimate").

    Raises:
        KeyError: a tensor is missing.
        CheckpointError: there are others.
    """
    from transformers import CLIPTextConfig, CLIPTextModel

    rows, width = held["token_embedding.weight"].shape
    last = count_modules(held, "transformer.resblocks.") - 1
    own = rename_keys(
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
    return _filled(CLIPTextModel(config), own)


def image_encoder(held: Weights) -> Any:
    """A CLIPVisionModel, whose last states are read before their norm and projection.

    Raises:
        KeyError: a tensor is missing.
        CheckpointError: there are others.
    """
    from transformers import CLIPVisionConfig, CLIPVisionModel

    own = rename_keys(held, {**_LAYERS, **_IMAGE}, drop="^proj$")
    width, _, patch, _ = held["conv1.weight"].shape
    config = CLIPVisionConfig(
        hidden_size=width,
        num_hidden_layers=count_modules(held, "transformer.resblocks."),
        patch_size=patch,
        image_size=patch * round((len(held["positional_embedding"]) - 1) ** 0.5),
        **_sizes(own, width),
    )
    return _filled(CLIPVisionModel(config), own)


def _sizes(own: Weights, width: int) -> dict[str, Any]:
    return {
        "intermediate_size": len(own["encoder.layers.0.mlp.fc1.bias"]),
        "num_attention_heads": width // _HEAD.get(width, 64),
        "hidden_act": "gelu",
    }


def _filled(model: Any, own: Weights) -> Any:
    own = split_layers(own, "in_proj", ("q_proj", "k_proj", "v_proj"))
    known = model.state_dict()
    nest = "" if any(name in known for name in own) else next(iter(known)).split(".")[0] + "."
    own = {nest + name: tensor.contiguous() for name, tensor in own.items()}
    if strange := sorted(own.keys() - known.keys()):
        raise CheckpointError(f"{strange[0]} is no tensor of OpenCLIP's {type(model).__name__}")
    if missing := sorted(known.keys() - own.keys()):
        raise KeyError(missing[0])
    model.load_state_dict(own)
    return model


def load_tokenizer(place: Path, rows: int) -> Any:
    """The tokenizer of a text encoder, its number of words checked.

    Args:
        place: a tokenizer's folder, or the file of CLIP's merges.
        rows: words in the text encoder's embedding table.

    Raises:
        CheckpointError: The tokenizer has another number of words.
    """
    if not place.is_dir():
        return tokenizer(read_file(CLIP_MERGES, place).decode("utf-8"))
    found = auto_tokenizer(place)
    if len(found) != rows:
        raise CheckpointError(
            f"{place}: knows {len(found)} words, and the text encoder {rows}; it is another "
            "model's; give its own, or CLIP's by fbridge weights fetch clip-merges"
        )
    return found
