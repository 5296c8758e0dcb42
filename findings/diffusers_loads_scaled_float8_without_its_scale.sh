#!/usr/bin/env bash
# diffusers 0.42.1: from_pretrained on a transformer's folder whose float8 weight has its scale beside it
#
# Files of scaled float8 (w = float8 * scale, named `KEY_scale`) are what many video models are handed on as. Seen for a small Wan
# transformer with one such layer: it loads without an exception; the float8 numbers are cast to the network's dtype as they
# are, the scale is listed among unexpected keys in a logged warning, and the layer's standard deviation is about 255 in
# place of 0.116. Every later step works, on noise.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 diffusers==0.42.1 accelerate==1.15.0 safetensors==0.8.0 numpy==2.2.6
"$work/venv/bin/python" - "$work/wan" <<'PY'
import sys

import torch
from diffusers import WanTransformer3DModel
from safetensors.torch import load_file, save_file

folder, key = sys.argv[1], "blocks.0.attn1.to_q.weight"
torch.manual_seed(0)
WanTransformer3DModel(
    num_attention_heads=2, attention_head_dim=12, text_dim=16, freq_dim=8, ffn_dim=32, num_layers=1
).save_pretrained(folder)
file = f"{folder}/diffusion_pytorch_model.safetensors"
weights = load_file(file)
true, scale = weights[key].std().item(), weights[key].abs().max() / 448
low = {key: (weights[key] / scale).to(torch.float8_e4m3fn), f"{key}_scale": scale.reshape(1)}
save_file({**weights, **low}, file, {"format": "pt"})
network, report = WanTransformer3DModel.from_pretrained(folder, output_loading_info=True)
loaded = network.get_parameter(key).float().std().item()
print(f"standard deviation {true:.3f}, loaded {loaded:.1f};", report)
assert report["unexpected_keys"] == [f"{key}_scale"] and not report["missing_keys"]
assert loaded > 1000 * true
restored = network.get_parameter(key).float() * scale
assert (restored - weights[key]).abs().max() < 0.07 * weights[key].abs().max()
print("as described")
PY
