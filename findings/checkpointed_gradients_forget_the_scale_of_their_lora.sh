#!/usr/bin/env bash
# diffusers 0.42.1 with peft 0.21.2: attention_kwargs={"scale": ...} and gradient checkpointing, in a transformer that is trained
#
# Gradient checkpointing trades time for memory: a block is computed again in the backward pass, and gradients are those of a
# run without it. The scale of a LoRA is given to a forward as attention_kwargs={"scale": 0.5}; a decorator sets it in all
# layers, runs the forward and takes it back. By the time of the backward pass it is gone, so blocks are computed again with
# their LoRA at full strength: the loss is right, bit for bit, and the gradients are those of no network at all, blocks at
# full strength behind an output at another. A recomputation has the same shapes, so torch's check for
# changes finds none. Seen on the transformers of Wan, LTX-Video and HunyuanVideo: at a scale of 1 both are equal; at 0.5 the
# adapter's gradients are off by half and more of their length, at 0.1 by more than all of it. Who trains at a drawn or a small
# scale (a slider, a strength that is annealed, a stage beside an adapter at part of its strength) trains another thing once
# memory gets short. A weight given to set_adapters(), which stays, gives equal gradients. Nothing is raised or logged.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 diffusers==0.42.1 transformers==5.24.0 accelerate==1.15.0 peft==0.21.2 pillow==12.1.0 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'PY'
import logging
import warnings

import torch
from diffusers import HunyuanVideoTransformer3DModel, LTXVideoTransformer3DModel, WanTransformer3DModel
from peft import LoraConfig


class Heard(logging.Handler):
    said = []

    def emit(self, record):
        self.said.append(record.getMessage())


logging.getLogger("diffusers").addHandler(Heard())
warnings.simplefilter("error")


def noise(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


time = torch.tensor([500])
networks = {
    "Wan": (
        lambda: WanTransformer3DModel(
            num_attention_heads=2, attention_head_dim=12, in_channels=16, out_channels=16, text_dim=32, freq_dim=32,
            ffn_dim=32, num_layers=4, rope_max_seq_len=32,
        ),
        dict(hidden_states=noise(1, 16, 2, 8, 8), timestep=time, encoder_hidden_states=noise(1, 8, 32)),
    ),
    "LTX-Video": (
        lambda: LTXVideoTransformer3DModel(
            in_channels=8, out_channels=8, num_attention_heads=4, attention_head_dim=8, cross_attention_dim=32,
            num_layers=4, caption_channels=32,
        ),
        dict(
            hidden_states=noise(1, 32, 8), timestep=time, encoder_hidden_states=noise(1, 8, 32),
            encoder_attention_mask=torch.ones(1, 8), num_frames=2, height=4, width=4,
        ),
    ),
    "HunyuanVideo": (
        lambda: HunyuanVideoTransformer3DModel(
            in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=10, num_layers=2, num_single_layers=2,
            num_refiner_layers=1, patch_size=1, text_embed_dim=16, pooled_projection_dim=8, rope_axes_dim=(2, 4, 4),
        ),
        dict(
            hidden_states=noise(1, 4, 2, 4, 4), timestep=time, encoder_hidden_states=noise(1, 6, 16),
            encoder_attention_mask=torch.ones(1, 6), pooled_projections=noise(1, 8), guidance=torch.tensor([1000.0]),
        ),
    ),
}  # fmt: skip


def trained(name, scale, checkpointed, kept=False):
    """The output of a forward, and the gradients of all that the adapter trains."""
    make, inputs = networks[name]
    torch.manual_seed(0)
    network = make()
    network.requires_grad_(False)
    network.add_adapter(LoraConfig(r=4, lora_alpha=4, target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
    generator = torch.Generator().manual_seed(1)
    parts = [value for value in network.parameters() if value.requires_grad]
    for value in parts:
        value.data = 0.5 * torch.randn(value.shape, generator=generator)
    if checkpointed:
        network.enable_gradient_checkpointing()
    network.train()
    more = {}
    if kept:
        network.set_adapters("default", scale)
    else:
        more["attention_kwargs"] = {"scale": scale}
    output = network(**inputs, **more, return_dict=False)[0]
    output.square().mean().backward()
    assert all(value.grad is not None for value in parts)
    return output.detach(), torch.cat([value.grad.flatten() for value in parts])


for name in networks:
    for scale in (1.0, 0.5, 0.1):
        whole, right = trained(name, scale, False)
        again, wrong = trained(name, scale, True)
        assert torch.equal(whole, again)
        off = float((wrong - right).norm() / right.norm())
        kept = [trained(name, scale, checkpointed, kept=True) for checkpointed in (False, True)]
        kept_off = float((kept[0][1] - kept[1][1]).norm() / kept[0][1].norm())
        print(f"{name}, scale {scale}: equal outputs, gradients off by {off:.4f} of their length; by set_adapters() {kept_off:.4f}")
        assert torch.allclose(kept[0][0], whole, atol=1e-5) and torch.allclose(kept[0][1], right, rtol=1e-3, atol=1e-6)
        assert kept_off < 1e-5
        assert off < 1e-5 if scale == 1.0 else off > 0.05
assert not Heard.said, Heard.said
print("as described")
PY
