"""Which VideoCrafter model a file holds, from tensor names and shapes, and its training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from fbridge.backbones.checkpoint_layout import Variant
from fbridge.backbones.family import VideoDefaults
from fbridge.backbones.noise_schedules import Noise
from fbridge.backbones.videocrafter.network import INIT_HEADS
from fbridge.errors import CheckpointError
from fbridge.files.key_mapping import count_modules
from fbridge.process import BridgeProcess
from fbridge.schedule import GmaxSchedule

_HEAD = 64
_FRAMES = 16
INPUT_LAYER = "input_blocks.0.0"
RESAMPLER = "image_proj_model."
_DISTANCES = "relative_position_k.embeddings_table"
_FPS, _STRIDE = 28, 3
"""The frame-rate input of VideoCrafter's networks, and of FrameBridge's."""
_PUBLISHED = {
    (False, False): ("VideoCrafter-1 512", None, (40, 64)),
    (True, False): ("VideoCrafter-1 1024", (0.3, 400), (72, 128)),
    (True, True): ("VideoCrafter-2 512 (or 1, of its shape)", (0.7, 400), (40, 64)),
    (False, True): ("VideoCrafter-1 256", None, (32, 32)),
    ("image", True): ("FrameBridge-VideoCrafter, or DynamiCrafter", None, (32, 32)),
    ("image", False): ("VideoCrafter-1 I2V 512", (0.7, 400), (40, 64)),
}
"""Name, signal scale and latents' sides, by: whether it takes the frame rate and convolves along
time; of networks with an image embedding, whether the picture is in the input channels too."""


def videocrafter_noise(config: Mapping[str, Any]) -> Noise:
    """Stable Diffusion's betas, with the signal scale of a network's configuration."""
    noise: dict[str, Any] = {"kind": "scaled-linear", "beta_start": 0.00085, "beta_end": 0.012}
    if config.get("signal_scale"):
        noise["signal_scale"] = list(config["signal_scale"])
    return noise, "noise"


def video_of(config: Mapping[str, Any]) -> VideoDefaults:
    """The videos that a network of a configuration was trained to make."""
    height, width = config["sample_size"]
    fixed = config["frames"]
    frames = [fixed, fixed, fixed, 1] if fixed else [_FRAMES, 2, 64, 1]
    return VideoDefaults(frames, 10.0, (width, height))


def variant_of(shapes: Mapping[str, tuple[int, ...]]) -> Variant:
    """The model whose tensors have these shapes."""
    base, inputs = shapes[f"{INPUT_LAYER}.weight"][:2]
    first = shapes.get("init_attn.0.proj_in.weight")
    middle = "middle_block.1"
    rated, timed = "fps_embedding.0.weight" in shapes, _any(shapes, ".temopral_conv.")
    image, outputs = _image(shapes), shapes["out.2.weight"][0]
    beside = inputs > outputs
    name, scale, size = _PUBLISHED[("image", beside) if image else (rated, timed)]
    return Variant(
        name,
        (),
        {
            "in_channels": inputs,
            "out_channels": outputs,
            "model_channels": base,
            **_levels(shapes, base),
            "head_features": first[0] // INIT_HEADS if first else _HEAD,
            "transformer_depth": count_modules(shapes, f"{middle}.transformer_blocks."),
            "context_dim": shapes[f"{middle}.transformer_blocks.0.attn2.to_k.weight"][1],
            "linear": len(shapes[f"{middle}.proj_in.weight"]) == 2,
            "temporal_conv": timed,
            "first_attention": first is not None,
            "reach": max(
                (shape[0] // 2 for name, shape in shapes.items() if name.endswith(_DISTANCES)),
                default=0,
            ),
            "rate": (_STRIDE if image and beside else _FPS) if rated else None,
            "image": image,
            "frames": _FRAMES if image else 0,
            "signal_scale": scale,
            "sample_size": size,
            "bridge": image is not None and beside,
        },
    )


def _levels(shapes: Mapping[str, tuple[int, ...]], base: int) -> dict[str, Any]:
    """Widths, transformers and blocks of the levels, from the downsampling half."""
    levels: list[list[tuple[int, bool]]] = [[]]
    for n in range(1, count_modules(shapes, "input_blocks.")):
        block = f"input_blocks.{n}"
        if f"{block}.0.op.weight" in shapes:
            levels.append([])
        else:
            width = shapes[f"{block}.0.in_layers.2.weight"][0]
            levels[-1].append((width // base, f"{block}.1.norm.weight" in shapes))
    return {
        "channel_mult": [level[0][0] for level in levels],
        "attention_levels": [level[0][1] for level in levels],
        "num_res_blocks": len(levels[0]),
    }


def _image(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any] | None:
    """Arguments of the resampler; None if there is none."""
    if f"{RESAMPLER}latents" not in shapes:
        return None
    width, features = shapes[f"{RESAMPLER}proj_in.weight"]
    return {
        "features": features,
        "width": width,
        "count": shapes[f"{RESAMPLER}latents"][1],
        "depth": count_modules(shapes, f"{RESAMPLER}layers."),
        "heads": shapes[f"{RESAMPLER}layers.0.0.to_q.weight"][0] // _HEAD,
        "head": _HEAD,
        "gated": _any(shapes, ".attn2.alpha"),
    }


def _any(shapes: Mapping[str, Any], part: str) -> bool:
    return any(part in name for name in shapes)


def refused(config: Mapping[str, Any]) -> str:
    """Why a network of a configuration cannot be used; "" if it can."""
    if not config.get("image") or config.get("bridge"):
        return ""
    return (
        "is an image-to-video model with CLIP's embedding of the picture, as DynamiCrafter and "
        "VideoCrafter-1 I2V are, which is not supported; use a text-to-video model (where it is a "
        'bridge of FrameBridge\'s, a config.json beside it that holds "_class_name" and '
        '"bridge": true says so)'
    )


def _check_bridge(tensors: Mapping[str, Tensor]) -> None:
    """Raise CheckpointError if a file's bridge is not the published one."""
    table = tensors.get("bridge_coef_x0")
    if "original_diffusion_rescale" in tensors:
        raise CheckpointError(
            "its bridge is of a diffusion whose signal is scaled down (it holds "
            "original_diffusion_rescale), which is not supported"
        )
    if table is None or table.is_meta:
        return
    schedule = GmaxSchedule()
    times = (torch.arange(len(table), dtype=torch.float64) + 1) / (len(table) + 1)
    if (table - BridgeProcess(schedule).coefficients(times).data).abs().max() > 1e-3:
        raise CheckpointError(
            f"its bridge (bridge_coef_x0) has other betas than {schedule.beta_0} and "
            f"{schedule.beta_1}, those of FrameBridge's, which is not supported"
        )


def single_file_config(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Configuration from the tables of a single file: signal scale, and whether it is a bridge."""
    if "alphas_cumprod" not in tensors:
        return {}
    config: dict[str, Any] = {"bridge": "bridge_coef_x0" in tensors}
    _check_bridge(tensors)
    table = tensors.get("scale_arr")
    if table is None:
        config["signal_scale"] = None
    elif not table.is_meta:
        config["signal_scale"] = [float(table[-1]), 1 + int((table > table[-1]).sum())]
    return config
