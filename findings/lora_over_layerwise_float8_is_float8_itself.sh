#!/usr/bin/env bash
# diffusers 0.42.1 with peft 0.21.2: a LoRA added to a network whose weights are stored in float8
#
# enable_layerwise_casting keeps a network's weights in float8_e4m3fn and computes in another dtype. One would add a LoRA
# to it by add_adapter and train it. Seen: the LoRA's own matrices get the float8 of the layers that they are added to,
# rounded to three bits of mantissa (peft raises adapters to float32 over float16 and bfloat16 layers only, and diffusers'
# add_adapter not even there), with requires_grad; nothing is raised or logged until the first forward pass, which has no
# multiplication for float8. Added before the casting they are float32, stay so and train.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 diffusers==0.42.1 peft==0.21.2 \
    transformers==5.24.0 numpy==2.2.6
"$work/venv/bin/python" - <<'PY'
import torch
from diffusers import WanTransformer3DModel
from peft import LoraConfig


def build(order):
    torch.manual_seed(0)
    network = WanTransformer3DModel(
        num_attention_heads=2, attention_head_dim=16, in_channels=4, out_channels=4, text_dim=8, freq_dim=16,
        ffn_dim=32, num_layers=1, rope_max_seq_len=32,
    )
    network.requires_grad_(False)
    for step in order:
        if step == "cast":
            network.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float32)
        else:
            network.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"]))
    lora = [value for name, value in network.named_parameters() if "lora" in name]
    return network, lora


def step(network):
    generator = torch.Generator().manual_seed(1)
    video, words = torch.randn(1, 4, 2, 4, 4, generator=generator), torch.randn(1, 3, 8, generator=generator)
    network(video, torch.tensor([500.0]), words).sample.square().mean().backward()


network, lora = build(["cast", "add"])
assert {value.dtype for value in lora} == {torch.float8_e4m3fn} and all(value.requires_grad for value in lora)
try:
    step(network)
    raise AssertionError("the forward pass works")
except NotImplementedError as error:
    assert "Float8_e4m3fn" in str(error)

network, lora = build(["add", "cast"])
assert {value.dtype for value in lora} == {torch.float32}
step(network)
assert all(value.grad is not None and value.grad.dtype == torch.float32 for value in lora)
print("a LoRA added after the casting is float8 and fails in its first forward pass; before it, float32")
PY
