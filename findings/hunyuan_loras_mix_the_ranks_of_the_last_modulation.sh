#!/usr/bin/env bash
# diffusers 0.42.1: load_lora_weights of HunyuanVideo LoRAs in the original naming that reach the last modulation
#
# HunyuanVideo's final_layer.adaLN_modulation.1 makes a shift and a scale; diffusers' norm_out.linear makes the scale first,
# so that loading swaps the two halves of the output. A LoRA is a product up @ down whose outputs are the rows of "up". The
# loader swaps the halves of "down" as well, and those are ranks: each column of "up" then meets the row of another rank.
# Seen at ranks 2, 4 and 16: what is added to norm_out.linear is 1.4 to 1.5 times the size of the wanted change away from it
# and nearly uncorrelated with it, as if the layer's LoRA were noise. It steers scale and shift of all that the network puts
# out. Of rank 1 it is an error; the other layers that were looked at, joined q, k and v among them, are right. Nothing is
# raised, warned or logged of it. The swap taken back in "down" before loading makes it right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 diffusers==0.42.1 peft==0.21.2 transformers==5.24.0 safetensors==0.8.0 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - "$work" <<'PY'
import sys
import warnings

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, HunyuanVideoPipeline, HunyuanVideoTransformer3DModel
from safetensors.torch import save_file

WIDTH = 32
warnings.simplefilter("error", RuntimeWarning)
torch.manual_seed(0)


def pipeline():
    transformer = HunyuanVideoTransformer3DModel(
        in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=16, num_layers=1, num_single_layers=1,
        num_refiner_layers=1, patch_size=1, patch_size_t=1, guidance_embeds=True, text_embed_dim=16, pooled_projection_dim=8,
        rope_axes_dim=(4, 6, 6),
    )  # fmt: skip
    return HunyuanVideoPipeline(
        text_encoder=None, tokenizer=None, transformer=transformer, vae=None, scheduler=FlowMatchEulerDiscreteScheduler(),
        text_encoder_2=None, tokenizer_2=None,
    )  # fmt: skip


def file_of(rank, swap_down=False):
    """A LoRA in the original naming; the changes it stands for, of the original weights; and its path."""
    stored, changes = {}, {}
    layers = {"final_layer.adaLN_modulation.1": (WIDTH, 2 * WIDTH), "final_layer.linear": (WIDTH, 4),
              "double_blocks.0.img_attn_qkv": (WIDTH, 3 * WIDTH), "single_blocks.0.linear2": (5 * WIDTH, WIDTH),
              "txt_in.individual_token_refiner.blocks.0.adaLN_modulation.1": (WIDTH, 2 * WIDTH)}  # fmt: skip
    for name, (fan_in, fan_out) in layers.items():
        down, up = torch.randn(rank, fan_in), torch.randn(fan_out, rank)
        changes[name] = up @ down
        if swap_down and name.startswith("final_layer.adaLN"):
            down = torch.cat(down.chunk(2)[::-1])
        stored |= {f"diffusion_model.{name}.lora_A.weight": down, f"diffusion_model.{name}.lora_B.weight": up.contiguous()}
    path = f"{sys.argv[1]}/{rank}{swap_down}.safetensors"
    save_file(stored, path)
    return path, changes


@torch.no_grad()
def loaded(path):
    pipe = pipeline()
    pipe.load_lora_weights(path, adapter_name="one")
    transformer = pipe.transformer
    attention = transformer.transformer_blocks[0].attn
    joined = torch.cat([getattr(attention, name).get_delta_weight("one") for name in ("to_q", "to_k", "to_v")])
    return transformer.norm_out.linear.get_delta_weight("one"), {
        "final_layer.linear": transformer.proj_out.get_delta_weight("one"),
        "double_blocks.0.img_attn_qkv": joined,
        "single_blocks.0.linear2": transformer.single_transformer_blocks[0].proj_out.get_delta_weight("one"),
    }


for rank in (2, 4, 16):
    path, changes = file_of(rank)
    found, others = loaded(path)
    assert all(torch.allclose(change, changes[name], atol=1e-4) for name, change in others.items())
    shift, scale = changes["final_layer.adaLN_modulation.1"].chunk(2)
    wanted = torch.cat([scale, shift])
    error = float((found - wanted).norm() / wanted.norm())
    along = float((found * wanted).sum() / (found.norm() * wanted.norm()))
    print(f"rank {rank}: {error:.2f} times the change's size away from it, correlation {along:.2f}")
    assert error > 1 and abs(along) < 0.3

path, changes = file_of(4, swap_down=True)
shift, scale = changes["final_layer.adaLN_modulation.1"].chunk(2)
assert torch.allclose(loaded(path)[0], torch.cat([scale, shift]), atol=1e-4)
try:
    loaded(file_of(1)[0])
except Exception as error:
    print("rank 1:", type(error).__name__)
else:
    raise AssertionError("rank 1 loads")
print("as described")
PY
