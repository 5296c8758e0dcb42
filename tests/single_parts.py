"""Parts of small models in single files, named as ComfyUI's users and Wan's makers have them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import diffusers
import torch
from torch import Tensor
from transformers import T5Config, T5EncoderModel, UMT5Config, UMT5EncoderModel

from tests.nine_words import FEATURES, VOCABULARY

Weights = dict[str, Tensor]


def text_encoder(kind: str) -> Any:
    """ "umt5" or "t5", of two layers: only the first has two tables of relative positions."""
    sizes: dict[str, Any] = {"vocab_size": len(VOCABULARY), "d_model": FEATURES, "d_kv": 8}
    sizes |= {"d_ff": 12, "num_layers": 2, "num_heads": 2, "feed_forward_proj": "gated-gelu"}
    if kind == "umt5":
        return UMT5EncoderModel(UMT5Config(**sizes)).eval()
    return T5EncoderModel(T5Config(**sizes)).eval()


def held_once(model: Any) -> Weights:
    """A text encoder's tensors as its files have them: the table of words under one name."""
    return {k: v for k, v in model.state_dict().items() if k != "encoder.embed_tokens.weight"}


def wan_names(held: Mapping[str, Tensor]) -> Weights:
    """T5Encoder of Wan-Video/Wan2.1, wan/modules/t5.py."""
    rules = {
        r"^shared\.": "token_embedding.",
        r"^encoder\.final_layer_norm\.": "norm.",
        r"^encoder\.block\.(\d+)\.layer\.": r"blocks.\1.",
        r"\.0\.layer_norm\.": ".norm1.",
        r"\.1\.layer_norm\.": ".norm2.",
        r"\.0\.SelfAttention\.relative_attention_bias\.": ".pos_embedding.embedding.",
        r"\.0\.SelfAttention\.": ".attn.",
        r"\.1\.DenseReluDense\.wi_0\.": ".ffn.gate.0.",
        r"\.1\.DenseReluDense\.wi_1\.": ".ffn.fc1.",
        r"\.1\.DenseReluDense\.wo\.": ".ffn.fc2.",
    }
    return _renamed(held, rules)


def gguf_names(held: Mapping[str, Tensor]) -> Weights:
    """The names of T5's encoder in llama.cpp, gguf-py/gguf/tensor_mapping.py."""
    rules = {
        r"^shared\.": "token_embd.",
        r"^encoder\.final_layer_norm\.": "enc.output_norm.",
        r"^encoder\.block\.(\d+)\.layer\.": r"enc.blk.\1.",
        r"\.0\.layer_norm\.": ".attn_norm.",
        r"\.1\.layer_norm\.": ".ffn_norm.",
        r"\.0\.SelfAttention\.relative_attention_bias\.": ".attn_rel_b.",
        r"\.0\.SelfAttention\.": ".attn_",
        r"\.1\.DenseReluDense\.wi_0\.": ".ffn_gate.",
        r"\.1\.DenseReluDense\.wi_1\.": ".ffn_up.",
        r"\.1\.DenseReluDense\.wo\.": ".ffn_down.",
    }
    return _renamed(held, rules)


def wan_vae() -> Any:
    """Wan 2.1's autoencoder with few channels."""
    return diffusers.AutoencoderKLWan(base_dim=4, dim_mult=[1, 2, 4, 4]).eval()


def wan22_vae() -> Any:
    """Wan 2.2's autoencoder with few channels."""
    return diffusers.AutoencoderKLWan(
        base_dim=4, decoder_base_dim=8, z_dim=48, dim_mult=[1, 2, 2, 2], num_res_blocks=1,
        is_residual=True, patch_size=2, in_channels=12, out_channels=12, scale_factor_spatial=16,
        latents_mean=[0.1] * 48, latents_std=[0.7] * 48,
    ).eval()  # fmt: skip


_ENDS = {
    r"^quant_conv\.": "conv1.",
    r"^post_quant_conv\.": "conv2.",
    r"coder\.conv_in\.": "coder.conv1.",
    r"\.conv_out\.": ".head.2.",
    r"\.norm_out\.": ".head.0.",
    r"\.mid_block\.attentions\.0\.": ".middle.1.",
    r"\.mid_block\.resnets\.0\.": ".middle.0.",
    r"\.mid_block\.resnets\.1\.": ".middle.2.",
}
_RESIDUAL = {
    r"\.norm1\.": ".residual.0.",
    r"(?<=\d)\.conv1\.": ".residual.2.",
    r"\.norm2\.": ".residual.3.",
    r"(?<=\d)\.conv2\.": ".residual.6.",
    r"\.conv_shortcut\.": ".shortcut.",
}


def wan_vae_names(held: Mapping[str, Tensor]) -> Weights:
    """WanVAE_ of Wan-Video/Wan2.1, wan/modules/vae.py."""
    done: Weights = {}
    for name, tensor in held.items():
        up = re.match(r"decoder\.up_blocks\.(\d)\.(resnets|upsamplers)\.(\d)\.(.*)", name)
        if up:
            place = 4 * int(up[1]) + (3 if up[2] == "upsamplers" else int(up[3]))
            name = f"decoder.upsamples.{place}.{up[4]}"
        done[name.replace(".down_blocks.", ".downsamples.")] = tensor
    return _renamed(done, {**_ENDS, **_RESIDUAL})


def wan22_vae_names(held: Mapping[str, Tensor]) -> Weights:
    """WanVAE_ of Wan-Video/Wan2.2, wan/modules/vae2_2.py, of one residual block a level."""
    done: Weights = {}
    for name, tensor in held.items():
        found = re.match(r"(\w+)\.(down|up)_blocks\.(\d)\.(.*)", name)
        if found:
            side, n, rest = found[2], found[3], found[4]
            blocks = 1 if side == "down" else 2
            rest = re.sub(r"^resnets\.", "", rest)
            rest = re.sub(rf"^{side}sampler\.", f"{blocks}.", rest)
            name = f"{found[1]}.{side}samples.{n}.{side}samples.{rest}"
        done[name] = tensor
    return _renamed(done, {**_ENDS, **_RESIDUAL})


def scaled(held: Mapping[str, Tensor]) -> Weights:
    """Matrices of the layers in float8 with a scale, as ComfyUI's text encoders have them."""
    done: Weights = {"scaled_fp8": torch.zeros(0, dtype=torch.float8_e4m3fn)}
    for name, tensor in held.items():
        if tensor.ndim != 2 or "block." not in name or "bias" in name:
            done[name] = tensor.half()
            continue
        by = tensor.abs().max() / 448
        done[name] = (tensor / by).to(torch.float8_e4m3fn)
        done[f"{name.removesuffix('weight')}scale_weight"] = by
    return done


def _renamed(held: Mapping[str, Tensor], rules: Mapping[str, str]) -> Weights:
    done = {}
    for name, tensor in held.items():
        for pattern, put in rules.items():
            name = re.sub(pattern, put, name)
        done[name] = tensor
    return done
