#!/usr/bin/env bash
# peft 0.21.2: DoRA added to a bfloat16 layer, before any training
#
# A DoRA begins as the layer itself: lora_B is zero, and the magnitudes are the norms of the layer's rows. peft keeps
# adapters in float32 beside a half-precision layer (autocast_adapter_dtype), and the parameters say torch.float32. But the
# values were made in, or moved through, the layer's dtype first and only then cast up: every number is one of bfloat16. For
# lora_A that is harmless, as it is random anyway. The magnitudes are wrong by up to 0.35 %, so the wrapped layer does not
# answer as the layer did, and merging at once changes a quarter of the weights by a step of bfloat16. Over a float32 layer
# the magnitudes are right to 1e-6. Nothing is logged. Who counts on "untrained is unchanged" must set the magnitudes again.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 peft==0.21.2 transformers==5.24.0 numpy==2.2.6
"$work/venv/bin/python" - <<'PY'
import torch
from peft import LoraConfig, get_peft_model
from torch import nn


def wrapped(dtype):
    torch.manual_seed(1)
    network = nn.Sequential(nn.Linear(256, 256)).to(dtype)
    before = network[0].weight.detach().float().clone()
    model = get_peft_model(network, LoraConfig(r=8, target_modules=["0"], use_dora=True))
    return before, model


def rounded(tensor):
    return torch.equal(tensor.bfloat16().float(), tensor)


before, model = wrapped(torch.bfloat16)
layer = model.base_model.model[0]
down, magnitude = layer.lora_A["default"].weight, layer.lora_magnitude_vector["default"].weight
assert down.dtype == magnitude.dtype == torch.float32
assert rounded(down)
wrong = ((magnitude - before.norm(dim=1)) / before.norm(dim=1)).abs().max().item()
merged = model.merge_and_unload()[0].weight.detach().float()
changed = (merged != before).float().mean().item()
print(f"bfloat16: magnitudes wrong by up to {100 * wrong:.2f} %, weights changed by merging: {100 * changed:.0f} %")
assert 0.002 < wrong < 0.004
assert 0.1 < changed < 0.5

before, model = wrapped(torch.float32)
layer = model.base_model.model[0]
magnitude = layer.lora_magnitude_vector["default"].weight
assert not rounded(magnitude)
assert torch.allclose(magnitude, before.norm(dim=1), rtol=1e-6)
print("float32: magnitudes right")
PY
