#!/usr/bin/env bash
# diffusers 0.42.1 with peft 0.21.2: fuse_lora(lora_scale=...) and unfuse_lora(), as to try a LoRA at several strengths
#
# fuse_lora(lora_scale=s) adds s times a LoRA to the weights, and unfuse_lora() "reverses the effect". The scale is written
# into the adapter's own layers first and is left there. Seen on Wan's transformer: after fusing by 0.5 and unfusing, the
# LoRA acts with half its strength; fusing by 0.5 again makes a quarter, by 2.0 then a half. A sweep of 0.25, 0.5, 0.75 and
# 1.0 tries 0.25, 0.125, 0.094 and 0.094. Weights of set_adapters() that are given while a LoRA is fused do nothing then, but
# unfusing takes off by the new ones: with 1.0 where 0.25 was fused the network lacks three quarters of the LoRA from then on,
# and lacks them still when the LoRA is unloaded. None of it is raised, warned or logged. set_adapters() before each
# fuse_lora() sets the strength anew; scales of set_adapters() alone need no fusing.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 diffusers==0.42.1 peft==0.21.2 transformers==5.24.0 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'PY'
import warnings

import torch
from diffusers import UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel

warnings.simplefilter("error")
torch.manual_seed(0)
LAYER = "blocks.0.attn1.to_q"
lora = {f"transformer.{LAYER}.lora_A.weight": torch.randn(4, 24), f"transformer.{LAYER}.lora_B.weight": torch.randn(24, 4)}
change = lora[f"transformer.{LAYER}.lora_B.weight"] @ lora[f"transformer.{LAYER}.lora_A.weight"]


class Probe:
    """A pipeline with the LoRA loaded; strength() is how much of the LoRA is in what the layer computes."""

    def __init__(self):
        transformer = WanTransformer3DModel(
            patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=4, text_dim=16,
            freq_dim=16, ffn_dim=32, num_layers=1, rope_max_seq_len=32,
        )  # fmt: skip
        self.plain = transformer.get_submodule(LAYER).weight.detach().clone()
        self.pipe = WanPipeline(
            tokenizer=None, text_encoder=None, vae=None, scheduler=UniPCMultistepScheduler(), transformer=transformer,
        )  # fmt: skip
        self.pipe.load_lora_weights({name: value.clone() for name, value in lora.items()}, adapter_name="one")

    @torch.no_grad()
    def strength(self):
        layer = self.pipe.transformer.get_submodule(LAYER)
        added = (layer(torch.eye(24)) - layer(torch.zeros(24, 24))).T - self.plain
        factor = float((added * change).sum() / (change * change).sum())
        assert torch.allclose(added, factor * change, atol=1e-4)
        return round(factor, 4)


probe = Probe()
seen = [probe.strength()]
for scale in (0.5, 0.5, 2.0):
    probe.pipe.fuse_lora(lora_scale=scale)
    seen.append(probe.strength())
    probe.pipe.unfuse_lora()
    seen.append(probe.strength())
print("loaded, then fused and unfused by 0.5, 0.5 and 2.0:", seen)
assert seen == [1.0, 0.5, 0.5, 0.25, 0.25, 0.5, 0.5]

for anew in (False, True):
    probe, seen = Probe(), []
    for scale in (0.25, 0.5, 0.75, 1.0):
        if anew:
            probe.pipe.set_adapters("one", 1.0)
        probe.pipe.fuse_lora(lora_scale=scale)
        seen.append(probe.strength())
        probe.pipe.unfuse_lora()
    print("sweep of 0.25, 0.5, 0.75, 1.0", "with set_adapters" if anew else "", seen)
    assert seen == ([0.25, 0.5, 0.75, 1.0] if anew else [0.25, 0.125, 0.0938, 0.0938])

probe = Probe()
probe.pipe.fuse_lora(lora_scale=0.25)
probe.pipe.set_adapters("one", 1.0)
fused = probe.strength()
probe.pipe.unfuse_lora()
probe.pipe.unload_lora_weights()
print("set to 1.0 while fused by 0.25:", fused, "after unfusing and unloading:", probe.strength())
assert fused == 0.25 and probe.strength() == -0.75

probe = Probe()
probe.pipe.fuse_lora(lora_scale=0.25)
probe.pipe.unfuse_lora()
probe.pipe.unload_lora_weights()
assert probe.strength() == 0.0
print("as described")
PY
