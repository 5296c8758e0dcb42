"""Small random networks of every family, and what they are given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import (
    CogVideoXTransformer3DModel,
    HunyuanVideoTransformer3DModel,
    LatteTransformer3DModel,
    LTXVideoTransformer3DModel,
    UNetMotionModel,
    WanTransformer3DModel,
)

from fbridge.backbones.videocrafter.network import VideoCrafterUNet
from fbridge.types import Condition

WORDS = 12
"""Features of a token."""

Given = tuple[torch.Tensor, torch.Tensor, Condition, torch.Tensor]


@dataclass(frozen=True)
class Kind:
    """A family's small network.

    Attributes:
        make: builds it.
        frames: of its latents.
        span: largest time that it is told.
    """

    make: Callable[[], Any]
    frames: int
    span: float


def _cogvideox(**options: Any) -> Any:
    numbers: dict[str, Any] = {
        "num_attention_heads": 2,
        "attention_head_dim": 16,
        "in_channels": 4,
        "out_channels": 4,
        "time_embed_dim": 8,
        "text_embed_dim": WORDS,
        "num_layers": 2,
        "sample_width": 8,
        "sample_height": 4,
        "sample_frames": 13,
        "max_text_seq_length": 6,
    }
    return CogVideoXTransformer3DModel(**{**numbers, **options})


def _wan() -> Any:
    return WanTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=4,
        out_channels=4,
        text_dim=WORDS,
        freq_dim=8,
        ffn_dim=32,
        num_layers=2,
    )


def _ltx() -> Any:
    return LTXVideoTransformer3DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=12,
        cross_attention_dim=24,
        caption_channels=WORDS,
        num_layers=2,
    )


def _hunyuan() -> Any:
    return HunyuanVideoTransformer3DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=12,
        num_layers=2,
        num_single_layers=2,
        num_refiner_layers=1,
        text_embed_dim=WORDS,
        pooled_projection_dim=8,
        rope_axes_dim=(4, 4, 4),
    )


def _latte() -> Any:
    return LatteTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=4,
        out_channels=8,
        num_layers=2,
        cross_attention_dim=24,
        attention_bias=True,
        sample_size=8,
        patch_size=2,
        activation_fn="gelu-approximate",
        num_embeds_ada_norm=1000,
        norm_type="ada_norm_single",
        norm_elementwise_affine=False,
        norm_eps=1e-6,
        caption_channels=WORDS,
        video_length=4,
    )


def _animatediff() -> Any:
    return UNetMotionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        down_block_types=("CrossAttnDownBlockMotion", "DownBlockMotion"),
        up_block_types=("UpBlockMotion", "CrossAttnUpBlockMotion"),
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=WORDS,
        num_attention_heads=2,
        motion_num_attention_heads=2,
        motion_max_seq_length=8,
    )


def _videocrafter() -> Any:
    return VideoCrafterUNet(
        model_channels=32,
        channel_mult=(1, 2),
        attention_levels=(True, False),
        num_res_blocks=1,
        head_features=16,
        context_dim=WORDS,
        temporal_conv=True,
        reach=2,
        rate=28,
        signal_scale=(0.7, 400),
        sample_size=(4, 8),
    )


def _cogvideox15() -> Any:
    return _cogvideox(
        patch_size_t=2, patch_bias=False, use_rotary_positional_embeddings=True, ofs_embed_dim=8
    )


KINDS = {
    "cogvideox": Kind(_cogvideox, 4, 999.0),
    "cogvideox-1.5": Kind(_cogvideox15, 4, 999.0),
    "wan": Kind(_wan, 3, 1000.0),
    "ltx": Kind(_ltx, 3, 1000.0),
    "hunyuan": Kind(_hunyuan, 3, 1000.0),
    "latte": Kind(_latte, 4, 999.0),
    "animatediff": Kind(_animatediff, 4, 999.0),
    "videocrafter": Kind(_videocrafter, 4, 999.0),
}


def network(name: str) -> Any:
    """A network whose every layer has something to say."""
    torch.manual_seed(1)
    made = KINDS[name].make().eval()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in made.parameters():
            if not parameter.any():
                parameter.normal_(0, 0.1, generator=generator)
    return made


def inputs(name: str, batch: int = 2, tokens: int = 4, height: int = 4) -> Given:
    """Latents, times, condition and prior, of which the latter two are far from the first."""
    generator = torch.Generator().manual_seed(3)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    mask = torch.ones(batch, tokens, dtype=torch.bool)
    mask[0, -1] = tokens == 1
    condition = Condition(noise(batch, tokens, WORDS), mask, 50 * noise(batch, 4, height, 8))
    shape = (batch, KINDS[name].frames, 4, height, 8)
    return noise(*shape), torch.tensor([3.7, 811.2])[:batch], condition, 50 * noise(*shape)
