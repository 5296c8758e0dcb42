"""Whole VideoCrafter models in one file, small and random, under their makers' names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from fbridge.backbones.videocrafter.network import VideoCrafterUNet
from tests.nine_words import VOCABULARY, save_tokenizer

WIDTH = 64
"""Of the words' encoder, whose heads have 64 features."""


class OpenCLIP(nn.Module):
    """A tower of open_clip's names: `resblocks` of torch's own attention, GELU in between."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(_OpenCLIPBlock(width) for _ in range(depth))

    def forward(self, x: Tensor, mask: Tensor | None, *, leave: int = 0) -> Tensor:
        for block in self.resblocks[: len(self.resblocks) - leave]:
            x = block(x, mask)
        return x


class _OpenCLIPBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, width // 64, batch_first=True)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential()
        self.mlp.add_module("c_fc", nn.Linear(width, 2 * width))
        self.mlp.add_module("gelu", nn.GELU())
        self.mlp.add_module("c_proj", nn.Linear(2 * width, width))

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, attn_mask=mask, need_weights=False)[0]
        return x + self.mlp(self.ln_2(x))


class Words(nn.Module):
    """FrozenOpenCLIPEmbedder's model: the layer before the last is read, through the last norm."""

    def __init__(self) -> None:
        super().__init__()
        self.positional_embedding = nn.Parameter(torch.randn(77, WIDTH) * 0.3)
        self.text_projection = nn.Parameter(torch.randn(WIDTH, WIDTH))
        self.logit_scale = nn.Parameter(torch.ones(()))
        self.transformer = OpenCLIP(WIDTH, 3)
        self.token_embedding = nn.Embedding(len(VOCABULARY), WIDTH)
        self.ln_final = nn.LayerNorm(WIDTH)
        self.register_buffer("attn_mask", torch.full((77, 77), float("-inf")).triu(1))

    def forward(self, numbers: Tensor) -> Tensor:
        x = self.token_embedding(numbers) + self.positional_embedding
        return self.ln_final(self.transformer(x, self.attn_mask, leave=1))


class Sight(nn.Module):
    """FrozenOpenCLIPImageEmbedderV2's model.visual: all tokens, before the last norm."""

    def __init__(self) -> None:
        super().__init__()
        self.class_embedding = nn.Parameter(torch.randn(WIDTH))
        self.positional_embedding = nn.Parameter(torch.randn(1 + 16, WIDTH))
        self.proj = nn.Parameter(torch.randn(WIDTH, 8))
        self.conv1 = nn.Conv2d(3, WIDTH, 14, 14, bias=False)
        self.ln_pre = nn.LayerNorm(WIDTH)
        self.transformer = OpenCLIP(WIDTH, 2)
        self.ln_post = nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], 1)
        return self.transformer(self.ln_pre(x + self.positional_embedding), None)


def unet(**options: Any) -> VideoCrafterUNet:
    """A small one, for latents of an autoencoder that halves the sides thrice."""
    return VideoCrafterUNet(
        model_channels=32, channel_mult=(1, 2), attention_levels=(True, False), num_res_blocks=1,
        head_features=16, context_dim=WIDTH, **options,
    ).eval()  # fmt: skip


LOOKS = {"features": WIDTH, "width": 32, "count": 32, "depth": 1, "heads": 1, "head": 64}
LOOKS["gated"] = True


def bridge_unet() -> VideoCrafterUNet:
    """FrameBridge's: the picture beside the latents, two tokens of it for each of 16 frames."""
    return unet(
        in_channels=8, temporal_conv=True, reach=0, rate=3, image=LOOKS, frames=16, bridge=True
    )


def autoencoder() -> AutoencoderKL:
    """One whose file has the names of latent diffusion's (`ldm_names`)."""
    return AutoencoderKL(
        block_out_channels=(32, 32, 32, 32), down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4, layers_per_block=1, latent_channels=4,
        scaling_factor=0.18215, force_upcast=False,
    ).eval()  # fmt: skip


def ldm_names(held: dict[str, Tensor]) -> dict[str, Tensor]:
    """Diffusers' names of an autoencoder as latent diffusion's code has them."""
    done = {}
    for name, tensor in held.items():
        parts = name.split(".")
        if parts[1] in ("down_blocks", "up_blocks"):
            side = parts[1].split("_")[0]
            level = int(parts[2]) if side == "down" else 3 - int(parts[2])
            kinds = {"resnets": "block", "downsamplers": "downsample", "upsamplers": "upsample"}
            part = kinds[parts[3]]
            rest = parts[5:] if part != "block" else [parts[4], *parts[5:]]
            parts = [parts[0], side, str(level), part, *rest]
        elif parts[1] == "mid_block":
            number = int(parts[3]) + 1
            part = f"block_{number}" if parts[2] == "resnets" else "attn_1"
            parts = [parts[0], "mid", part, *parts[4:]]
            attention = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v"}
            if part == "attn_1":
                kind = {**attention, "to_out": "proj_out"}[parts[3]]
                parts = [*parts[:3], kind, parts[-1]]
                if kind != "norm" and parts[-1] == "weight":
                    tensor = tensor[..., None, None]
        new = ".".join(parts).replace("conv_norm_out", "norm_out")
        done[new.replace("conv_shortcut", "nin_shortcut")] = tensor
    return done


def whole(net: VideoCrafterUNet, vae: AutoencoderKL, *, tables: Any = ()) -> dict[str, Tensor]:
    """The tensors of a Lightning checkpoint."""
    torch.manual_seed(6)
    parts: dict[str, nn.Module] = {"cond_stage_model.model": Words().eval()}
    if net.config["image"]:
        parts["embedder.model.visual"] = Sight().eval()
    held = {f"first_stage_model.{k}": v for k, v in ldm_names(vae.state_dict()).items()}
    for name, tensor in net.state_dict().items():
        own = name.startswith("image_proj_model.")
        held[name if own else f"model.diffusion_model.{name}"] = tensor
    for place, part in parts.items():
        held |= {f"{place}.{name}": tensor for name, tensor in part.state_dict().items()}
    return {**held, "alphas_cumprod": torch.linspace(0.99, 0.01, 1000), **dict(tables)}


def save_whole(
    folder: Path, net: VideoCrafterUNet, *, deepspeed: bool = False, tables: Any = ()
) -> Path:
    """`model.ckpt` with a tokenizer's folder beside it."""
    torch.manual_seed(5)
    held = whole(net, autoencoder(), tables=tables)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "model.ckpt"
    if deepspeed:
        torch.save({"module": {f"_forward_module.{k}": v for k, v in held.items()}}, file)
    else:
        torch.save({"state_dict": held, "epoch": 3}, file)
    save_tokenizer(folder / "tokenizer", longest=77)
    return file


def bridge_table(low: float = 0.01, high: float = 50.0) -> Tensor:
    """FrameBridge's `bridge_coef_x0` at (i + 1) / 1001: what is left of the data."""
    t = (torch.arange(1000) + 1) / 1001
    return 1 - (0.5 * (high - low) * t**2 + low * t) / ((low + high) / 2)
