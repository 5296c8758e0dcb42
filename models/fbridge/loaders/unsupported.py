"""Models that people have and that are not supported, by the names of tensors and pipelines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from fbridge.backbones.families import FAMILIES
from fbridge.errors import CheckpointError
from fbridge.files.configs import named_library


class Unsupported(NamedTuple):
    """A model that is not supported.

    Attributes:
        name: what it is.
        keys: names of tensors, any of which tells it.
        instead: what to take.
        why: it cannot be used.
    """

    name: str
    keys: tuple[str, ...]
    instead: str = "take a text-to-video model of a supported family"
    why: str = "is not supported"


def _part(name: str, *keys: str) -> Unsupported:
    """A part of models, which may be of use beside a network and is none itself."""
    instead = (
        "name the network's file, and lay this one beside it or name it with --components, "
        "if it is a part of that model"
    )
    return Unsupported(name, keys, instead, "is a part of a model and no network")


_WAN = "take Wan's text-to-video model"
_LTX = "take LTX-Video 2B or 13B"
_HUNYUAN = "take HunyuanVideo 13B"
_NETWORKS = (
    Unsupported("Wan VACE (video editing)", ("vace_patch_embedding.weight",), _WAN),
    Unsupported("Wan Animate", ("pose_patch_embedding.weight",), _WAN),
    Unsupported("Wan 2.2's speech-to-video model", ("trainable_cond_mask.weight",), _WAN),
    Unsupported(
        "Wan's camera or reference control model",
        ("control_adapter.conv.weight", "ref_conv.weight"),
        _WAN,
    ),
    Unsupported("Helios", ("patch_short.weight",)),
    Unsupported(
        "Wan's image-to-video model",
        ("img_emb.proj.1.weight", "condition_embedder.image_embedder.ff.net.0.proj.weight"),
        _WAN,
    ),
    Unsupported(
        "AnyFlow (Wan, in few steps)",
        ("condition_embedder.delta_embedder.linear_1.weight",),
        _WAN,
    ),
    Unsupported("MiniMax-H3", ("token_refiner.final_norm.weight",)),
    Unsupported("LTX-2", ("audio_patchify_proj.weight", "audio_proj_in.weight"), _LTX),
    Unsupported(
        "HunyuanVideo-1.5", ("cond_type_embedding.weight", "cond_type_embed.weight"), _HUNYUAN
    ),
    Unsupported(
        "FramePack (HunyuanVideo, image-to-video)", ("clean_x_embedder.proj.weight",), _HUNYUAN
    ),
    Unsupported(
        "Kandinsky 6",
        ("audio_embeddings.in_layer.weight", "time_embeddings.timestep_embedder.linear_1.weight"),
    ),
    Unsupported("Kandinsky 5", ("visual_transformer_blocks.0.visual_modulation.out_layer.weight",)),
    Unsupported("Sana", ("caption_norm.weight", "attention_y_norm.weight")),
    Unsupported("Mochi", ("pos_frequencies", "t5_y_embedder.to_q.weight")),
    Unsupported(
        "ConsisID (CogVideoX, for faces)",
        ("local_facial_extractor.proj_out", "perceiver_cross_attention.0.norm1.weight"),
        "take CogVideoX's text-to-video model",
    ),
    Unsupported("Cosmos", ("x_embedder.proj.1.weight", "time_embed.t_embedder.linear_1.weight")),
    Unsupported("Cosmos 3", ("norm_moe_gen.weight",)),
    Unsupported(
        "Stable Video Diffusion (image-to-video)",
        (
            "up_blocks.0.resnets.0.spatial_res_block.norm1.weight",
            "input_blocks.1.0.time_mixer.mix_factor",
        ),
    ),
    Unsupported("I2VGen-XL (image-to-video)", ("image_latents_proj_in.0.weight",)),
)
"""By tensors that no supported network has, though some of these have all that one has."""
_OTHERS = (
    Unsupported(
        "Allegro (or PixArt, images)", ("adaln_single.emb.timestep_embedder.linear_1.weight",)
    ),
    Unsupported("Motif-Video", ("context_embedder.linear_1.weight",)),
    Unsupported(
        "Flux (images)", ("double_blocks.0.img_attn.norm.query_norm.scale", "x_embedder.weight")
    ),
    Unsupported(
        "Stable Diffusion (images)",
        (
            "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.weight",
            "input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight",
        ),
    ),
    Unsupported(
        "a motion module of AnimateDiff alone",
        (
            "down_blocks.0.motion_modules.0.proj_in.weight",
            "down_blocks.0.motion_modules.0.temporal_transformer.proj_in.weight",
        ),
        "save the pipeline of it and a Stable Diffusion 1.5 model with diffusers' "
        "AnimateDiffPipeline.save_pretrained, and give that folder",
    ),
    _part(
        "a T5 text encoder",
        "encoder.block.0.layer.0.SelfAttention.q.weight",
        "enc.blk.0.attn_q.weight",
    ),
    _part("a UMT5 text encoder", "blocks.0.attn.q.weight", "token_embedding.weight"),
    _part("CLIP's text encoder", "text_model.embeddings.token_embedding.weight"),
    _part("an encoder of pictures", "vision_model.embeddings.patch_embedding.weight"),
    _part(
        "Wan's autoencoder",
        "decoder.upsamples.0.residual.2.weight",
        "decoder.upsamples.0.upsamples.0.residual.2.weight",
    ),
    _part("an autoencoder", "decoder.conv_in.weight", "decoder.conv_in.conv.weight"),
)
"""By tensors that a supported network may have too."""
MAKERS_CLASSES = ("WanModel",)
"""Classes of makers' own code, as their config.json names them beside weights that are read."""
_TO_VIDEO = ("ImageToVideo", "Image2Video", "I2V", "StableVideoDiffusion", "ConsisID")


def unsupported_network(shapes: Mapping[str, Any], prefixes: Iterable[str]) -> str:
    """Which model of another kind some tensors are of; "" if they may be a supported one's."""
    return _named(_NETWORKS, shapes, prefixes)


def other_network(shapes: Mapping[str, Any], prefixes: Iterable[str]) -> str:
    """The same of tensors that are of no supported network; "" if it is not known."""
    return _named(_OTHERS, shapes, prefixes)


def foreign_pipeline(name: str) -> str:
    """Why a pipeline of diffusers cannot be used, by its class; "" if it can."""
    stock = [pipeline for family in FAMILIES.values() for pipeline in family.pipelines]
    known = ["FrameBridgePipeline", *stock]
    if name in known:
        return ""
    if not any(part in name for part in _TO_VIDEO):
        return f"a {name} is not supported; known: {', '.join(known)}"
    nearest = [one for one in stock if name.startswith(one.removesuffix("Pipeline"))]
    return (
        f"is an image-to-video model already (a {name}), which is not supported; a bridge is made "
        f"of a text-to-video model: take one of {', '.join(nearest or stock)}"
    )


def pipeline_kind(folder: Path, index: dict[str, Any]) -> Literal["bridge", "pipeline"]:
    """Whether a pipeline's `model_index.json` is a bridge's, or a supported one's of diffusers.

    Raises:
        CheckpointError: it is neither.
    """
    found = index.get("_class_name")
    if found == "FrameBridgePipeline" or named_library(index, "scheduler") == "fbridge.scheduler":
        return "bridge"
    if why := foreign_pipeline(str(found)):
        raise CheckpointError(f"{folder}: {why}")
    return "pipeline"


def _named(known: Iterable[Unsupported], shapes: Mapping[str, Any], prefixes: Iterable[str]) -> str:
    places = [*prefixes, "net."]
    for one in known:
        if any(place + key in shapes for place in places for key in one.keys):
            return f"is {one.name}, which {one.why}; {one.instead}"
    return ""
