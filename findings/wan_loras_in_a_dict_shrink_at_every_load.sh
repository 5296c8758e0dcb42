#!/usr/bin/env bash
# diffusers 0.42.1: load_lora_weights(dict) of WanPipeline, for both transformers of Wan 2.2 or more than once
#
# Wan LoRAs of other trainers store an alpha beside each pair, and loading multiplies it into the weights. load_lora_weights
# copies a dict first so as not to change the caller's, but copies no tensor: those of the cross attention and the feed
# forward layers are multiplied in place. Seen with alpha 4 and rank 16, a dict loaded as "high" and then, with
# load_into_transformer_2, as "low": in the second transformer these layers act a quarter as strong as they should. The first
# adapter holds the caller's tensors themselves, so it falls to a quarter too, after it was loaded right. A third load makes
# it a sixteenth. Self attention is right throughout, so that the LoRA is not only weaker but another one. With the same
# weights from a file all is right. Nothing is raised or warned of it. A copy of each tensor for each load helps.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 diffusers==0.42.1 peft==0.21.2 transformers==5.24.0 safetensors==0.8.0 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - "$work" <<'PY'
import sys

import torch
from diffusers import UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel
from safetensors.torch import save_file

RANK, ALPHA, WIDTH, INNER = 16, 4.0, 24, 32
LAYERS = {f"{kind}.{part}": (WIDTH, WIDTH) for kind in ("self_attn", "cross_attn") for part in "qkvo"}
LAYERS |= {"ffn.0": (WIDTH, INNER), "ffn.2": (INNER, WIDTH)}
OURS = {"self_attn.q": "attn1.to_q", "cross_attn.q": "attn2.to_q", "cross_attn.v": "attn2.to_v",
        "ffn.0": "ffn.net.0.proj", "ffn.2": "ffn.net.2"}  # fmt: skip


def pipeline():
    networks = []
    for _ in range(2):
        networks.append(WanTransformer3DModel(
            patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=4, text_dim=16,
            freq_dim=16, ffn_dim=INNER, num_layers=1, rope_max_seq_len=32,
        ))  # fmt: skip
    return WanPipeline(
        tokenizer=None, text_encoder=None, vae=None, scheduler=UniPCMultistepScheduler(), transformer=networks[0],
        transformer_2=networks[1], boundary_ratio=0.9,
    )  # fmt: skip


torch.manual_seed(0)
stored = {}
for name, (fan_in, fan_out) in LAYERS.items():
    stored[f"diffusion_model.blocks.0.{name}.lora_down.weight"] = torch.randn(RANK, fan_in)
    stored[f"diffusion_model.blocks.0.{name}.lora_up.weight"] = torch.randn(fan_out, RANK)
    stored[f"diffusion_model.blocks.0.{name}.alpha"] = torch.tensor(ALPHA)
save_file(stored, f"{sys.argv[1]}/lora.safetensors")
wanted = {
    name: ALPHA / RANK * stored[f"diffusion_model.blocks.0.{name}.lora_up.weight"]
    @ stored[f"diffusion_model.blocks.0.{name}.lora_down.weight"]
    for name in OURS
}  # fmt: skip


@torch.no_grad()
def strengths(transformer, adapter):
    """Of what the adapter adds to each weight, as a factor of what the file says; it has to be that one but for a factor."""
    found = {}
    for name, ours in OURS.items():
        change = transformer.blocks[0].get_submodule(ours).get_delta_weight(adapter)
        found[name] = round(float((change * wanted[name]).sum() / (wanted[name] * wanted[name]).sum()), 4)
        assert torch.allclose(change, found[name] * wanted[name], atol=1e-4)
    return found


def factors(rest):
    return {name: 1.0 if name.startswith("self_attn") else rest for name in OURS}


pipe = pipeline()
for adapter, second in (("high", False), ("low", True)):
    pipe.load_lora_weights(f"{sys.argv[1]}/lora.safetensors", adapter_name=adapter, load_into_transformer_2=second)
assert strengths(pipe.transformer, "high") == strengths(pipe.transformer_2, "low") == factors(1.0)

pipe, given = pipeline(), {name: value.clone() for name, value in stored.items()}
pipe.load_lora_weights(given, adapter_name="high")
print("first transformer, loaded", strengths(pipe.transformer, "high"))
assert strengths(pipe.transformer, "high") == factors(1.0)
pipe.load_lora_weights(given, adapter_name="low", load_into_transformer_2=True)
print("second transformer", strengths(pipe.transformer_2, "low"))
print("first transformer then", strengths(pipe.transformer, "high"))
assert strengths(pipe.transformer_2, "low") == strengths(pipe.transformer, "high") == factors(ALPHA / RANK)
pipe.load_lora_weights(given, adapter_name="again")
assert strengths(pipe.transformer, "again") == factors((ALPHA / RANK) ** 2)
changed = [name for name in stored if not torch.equal(stored[name], given[name])]
print("tensors of the caller's dict that changed:", len(changed), "of", len(stored))
assert changed and not any("self_attn" in name or "alpha" in name for name in changed)

pipe = pipeline()
for adapter, second in (("high", False), ("low", True)):
    copied = {name: value.clone() for name, value in stored.items()}
    pipe.load_lora_weights(copied, adapter_name=adapter, load_into_transformer_2=second)
assert strengths(pipe.transformer, "high") == strengths(pipe.transformer_2, "low") == factors(1.0)
print("as described")
PY
