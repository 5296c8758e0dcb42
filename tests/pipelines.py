"""Small random text-to-video pipelines, saved by diffusers itself as their makers publish them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import diffusers
import torch
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    LlamaConfig,
    LlamaModel,
    PreTrainedTokenizerBase,
    T5Config,
    T5EncoderModel,
    UMT5Config,
    UMT5EncoderModel,
)

from tests.nine_words import FEATURES, VOCABULARY, t5_tokenizer


class Published(NamedTuple):
    """A pipeline and what `fbridge` should make of it.

    Attributes:
        make: builds it.
        family: that its transformer is of.
        frames: that a short video of it has.
        size: of such, width x height.
    """

    make: Callable[[], Any]
    family: str
    frames: int
    size: str


def _words(kind: str = "t5") -> tuple[PreTrainedTokenizerBase, Any]:
    sizes = {"vocab_size": len(VOCABULARY), "d_model": FEATURES, "d_kv": 8, "d_ff": 16}
    sizes |= {"num_layers": 1, "num_heads": 2}
    if kind == "umt5":
        return t5_tokenizer(), UMT5EncoderModel(UMT5Config(**sizes)).eval()
    return t5_tokenizer(), T5EncoderModel(T5Config(**sizes)).eval()


def _cogvideox(**options: Any) -> Any:
    tokenizer, text_encoder = _words()
    newer = "patch_size_t" in options
    vae = diffusers.AutoencoderKLCogVideoX(
        block_out_channels=(8, 8, 8, 8), latent_channels=4, layers_per_block=1, norm_num_groups=2,
        scaling_factor=0.7, invert_scale_latents=newer,
    )  # fmt: skip
    transformer = diffusers.CogVideoXTransformer3DModel(
        num_attention_heads=2, attention_head_dim=16, in_channels=4, out_channels=4,
        time_embed_dim=8, text_embed_dim=FEATURES, num_layers=2, sample_width=8, sample_height=8,
        sample_frames=17, max_text_seq_length=226, **options,
    )  # fmt: skip
    scheduler = diffusers.CogVideoXDDIMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False,
        prediction_type="v_prediction", rescale_betas_zero_snr=True,
        snr_shift_scale=1.0 if newer else 3.0, timestep_spacing="trailing",
    )  # fmt: skip
    return diffusers.CogVideoXPipeline(tokenizer, text_encoder, vae, transformer, scheduler)


def _cogvideox15() -> Any:
    return _cogvideox(
        patch_size_t=2, patch_bias=False, use_rotary_positional_embeddings=True, ofs_embed_dim=8
    )


def _wan_transformer(channels: int) -> Any:
    return diffusers.WanTransformer3DModel(
        num_attention_heads=2, attention_head_dim=12, in_channels=channels, out_channels=channels,
        text_dim=FEATURES, freq_dim=8, ffn_dim=32, num_layers=2,
    )  # fmt: skip


def _unipc(shift: float) -> Any:
    return diffusers.UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift
    )


def _wan() -> Any:
    tokenizer, text_encoder = _words("umt5")
    vae = diffusers.AutoencoderKLWan(
        base_dim=4, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1
    )  # fmt: skip
    return diffusers.WanPipeline(
        tokenizer, text_encoder, vae, _unipc(3.0), _wan_transformer(16)
    )  # fmt: skip


def _wan_pair() -> Any:
    """Wan 2.2 A14B: the second network answers below the boundary."""
    one = _wan()
    return diffusers.WanPipeline(
        one.tokenizer, one.text_encoder, one.vae, _unipc(3.0), one.transformer,
        _wan_transformer(16), boundary_ratio=0.875,
    )  # fmt: skip


def _wan22() -> Any:
    tokenizer, text_encoder = _words("umt5")
    vae = diffusers.AutoencoderKLWan(
        base_dim=4, decoder_base_dim=4, z_dim=48, dim_mult=[1, 1, 1, 1], num_res_blocks=1,
        is_residual=True, patch_size=2, in_channels=12, out_channels=12, scale_factor_spatial=16,
        latents_mean=[0.1] * 48, latents_std=[0.7] * 48,
    )  # fmt: skip
    return diffusers.WanPipeline(
        tokenizer, text_encoder, vae, _unipc(5.0), _wan_transformer(48), expand_timesteps=True
    )


def _ltx() -> Any:
    tokenizer, text_encoder = _words()
    vae = diffusers.AutoencoderKLLTXVideo(
        latent_channels=128, block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8), layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1, 1),
    )  # fmt: skip
    transformer = diffusers.LTXVideoTransformer3DModel(
        num_attention_heads=2, attention_head_dim=12, cross_attention_dim=24,
        caption_channels=FEATURES, num_layers=2,
    )  # fmt: skip
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True, shift_terminal=0.1, base_shift=0.95, max_shift=2.05
    )
    return diffusers.LTXPipeline(scheduler, vae, text_encoder, tokenizer, transformer)


def _hunyuan() -> Any:
    sizes: dict[str, Any] = {"vocab_size": len(VOCABULARY), "num_hidden_layers": 3}
    sizes |= {"num_attention_heads": 2, "intermediate_size": 16}
    llama = LlamaModel(LlamaConfig(hidden_size=FEATURES, max_position_embeddings=512, **sizes))
    clip = CLIPTextModel(CLIPTextConfig(hidden_size=8, max_position_embeddings=77, **sizes))
    vae = diffusers.AutoencoderKLHunyuanVideo(
        latent_channels=4, block_out_channels=(8, 8, 8, 8), layers_per_block=1, norm_num_groups=4,
        scaling_factor=0.48,
    )  # fmt: skip
    transformer = diffusers.HunyuanVideoTransformer3DModel(
        in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=12, num_layers=2,
        num_single_layers=3, num_refiner_layers=1, text_embed_dim=FEATURES,
        pooled_projection_dim=8, rope_axes_dim=(4, 4, 4),
    )  # fmt: skip
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=7.0)
    return diffusers.HunyuanVideoPipeline(
        llama.eval(), t5_tokenizer(), transformer, vae, scheduler, clip.eval(), t5_tokenizer(77)
    )


def _latte() -> Any:
    tokenizer, text_encoder = _words()
    vae = diffusers.AutoencoderKL(
        block_out_channels=(8, 8, 8, 8), down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4, layers_per_block=1, latent_channels=4,
        norm_num_groups=4,
    )  # fmt: skip
    transformer = diffusers.LatteTransformer3DModel(
        num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=8, num_layers=2,
        cross_attention_dim=24, attention_bias=True, sample_size=8, patch_size=2,
        activation_fn="gelu-approximate", num_embeds_ada_norm=1000, norm_type="ada_norm_single",
        norm_elementwise_affine=False, norm_eps=1e-6, caption_channels=FEATURES, video_length=4,
    )  # fmt: skip
    scheduler = diffusers.DDIMScheduler(
        beta_schedule="linear", beta_start=1e-4, beta_end=2e-2, clip_sample=False,
        steps_offset=0, prediction_type="epsilon",
    )  # fmt: skip
    return diffusers.LattePipeline(tokenizer, text_encoder, vae, transformer, scheduler)


def _animatediff() -> Any:
    clip = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(VOCABULARY), hidden_size=FEATURES, intermediate_size=16,
            num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=77,
        )
    )  # fmt: skip
    vae = diffusers.AutoencoderKL(
        block_out_channels=(8, 8, 8, 8), down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4, layers_per_block=1, latent_channels=4,
        norm_num_groups=4,
    )  # fmt: skip
    unet = diffusers.UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, block_out_channels=(8, 16),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), layers_per_block=1,
        norm_num_groups=4, cross_attention_dim=FEATURES, attention_head_dim=2,
    )  # fmt: skip
    motion = diffusers.MotionAdapter(
        block_out_channels=(8, 16), motion_layers_per_block=1, motion_norm_num_groups=4,
        motion_num_attention_heads=2, motion_max_seq_length=16,
    )  # fmt: skip
    scheduler = diffusers.DDIMScheduler(
        beta_schedule="linear", beta_start=0.00085, beta_end=0.012, clip_sample=False,
    )  # fmt: skip
    return diffusers.AnimateDiffPipeline(
        vae, clip.eval(), t5_tokenizer(77), unet, motion, scheduler
    )  # fmt: skip


PUBLISHED = {
    "cogvideox": Published(_cogvideox, "cogvideox", 9, "64x64"),
    "cogvideox-1.5": Published(_cogvideox15, "cogvideox", 9, "64x64"),
    "wan": Published(_wan, "wan", 9, "64x64"),
    "wan-2.2": Published(_wan22, "wan", 9, "64x64"),
    "ltx": Published(_ltx, "ltx", 9, "64x64"),
    "hunyuan": Published(_hunyuan, "hunyuan", 9, "64x64"),
    "animatediff": Published(_animatediff, "animatediff", 4, "64x64"),
    "latte": Published(_latte, "latte", 4, "64x64"),
}


def network_of(pipe: Any) -> Any:
    """Its transformer, or U-Net."""
    return pipe.components.get("transformer") or pipe.unet


def publish(name: str, folder: Path) -> Path:
    """Save one of `PUBLISHED`, or "wan-a14b", as a folder; no layer of a network is all zero."""
    torch.manual_seed(11)
    pipe = _wan_pair() if name == "wan-a14b" else PUBLISHED[name].make()
    networks = [network_of(pipe), pipe.components.get("transformer_2")]
    with torch.no_grad():
        for network in filter(None, networks):
            for parameter in network.parameters():
                if not parameter.any():
                    parameter.normal_(0, 0.1)
    pipe.save_pretrained(folder)
    return folder
