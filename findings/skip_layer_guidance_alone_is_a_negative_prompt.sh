#!/usr/bin/env bash
# diffusers 0.42.1: SkipLayerGuidance with guidance_scale=1, and after the step at which the classifier-free part stops
#
# Skip layer guidance compares a prediction with one that leaves out some layers; it needs no negative prompt, and models
# distilled for guidance run it alone. The guider plans two passes then, and its forward has a case for just them. But it
# recognizes the pass that is to skip as the third one, and hands the second one the negative prompt. Seen on a small Wan
# transformer, scale 2.8 on one layer: with guidance_scale=5 the third pass is, bit for bit, the network without that layer.
# With guidance_scale=1 the pass called pred_cond_skip has all layers and the negative prompt, and the result is that of
# ClassifierFreeGuidance(2.8): what was switched off is on, and the layers play no part. With guidance_scale=5 and stop=0.3
# the same begins at 30 % of the steps. PerturbedAttentionGuidance has the same lines. None of it is raised or logged.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 diffusers==0.42.1 numpy==2.2.6
"$work/venv/bin/python" - <<'PY'
import torch
from diffusers import WanTransformer3DModel
from diffusers.guiders import ClassifierFreeGuidance, SkipLayerGuidance
from diffusers.hooks import LayerSkipConfig

torch.manual_seed(0)
network = WanTransformer3DModel(
    patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=4, text_dim=16,
    freq_dim=16, ffn_dim=32, num_layers=4, rope_max_seq_len=32,
).eval()
noise, words, negative = torch.randn(1, 4, 3, 8, 8), torch.randn(1, 6, 16), torch.randn(1, 6, 16)
time = torch.tensor([500.0])


@torch.no_grad()
def predict(prompt):
    return network(noise, time, prompt, return_dict=False)[0]


def guided(guider, step):
    """The passes by name, and the guided prediction, at this step of 10, with the calls of the modular pipelines."""
    guider.set_state(step=step, num_inference_steps=10, timestep=time)
    passes = guider.prepare_inputs({"encoder_hidden_states": (words, negative)})
    for one in passes:
        guider.prepare_models(network)
        one.noise_pred = predict(one.encoder_hidden_states)
        guider.cleanup_models(network)
    return {one.as_dict()[guider._identifier_key]: one.noise_pred for one in passes}, guider(passes).pred


def skip_guider(layer, **settings):
    return SkipLayerGuidance(
        skip_layer_guidance_scale=2.8, skip_layer_config=LayerSkipConfig(indices=[layer]),
        skip_layer_guidance_start=0.0, skip_layer_guidance_stop=1.0, **settings,
    )


plain, other = predict(words), predict(negative)
block = network.blocks[1]
forward, block.forward = block.forward, lambda hidden, *rest, **named: hidden
skipped = predict(words)
block.forward = forward
print("share of the prediction that the layer makes:", float((skipped - plain).std() / plain.std()))

passes, prediction = guided(skip_guider(1, guidance_scale=5.0), 5)
assert list(passes) == ["pred_cond", "pred_uncond", "pred_cond_skip"]
assert torch.equal(passes["pred_cond_skip"], skipped)
assert torch.allclose(prediction, other + 5.0 * (plain - other) + 2.8 * (plain - skipped), atol=1e-6)

passes, prediction = guided(skip_guider(1, guidance_scale=1.0), 5)
assert list(passes) == ["pred_cond", "pred_cond_skip"]
assert torch.equal(passes["pred_cond"], plain) and torch.equal(passes["pred_cond_skip"], other)
wanted = skipped + 2.8 * (plain - skipped)
print("off from what was asked, as a share of it:", float((prediction - wanted).std() / (wanted - plain).std()))
assert (prediction - wanted).std() > 0.3 * (wanted - plain).std()
assert torch.equal(prediction, guided(ClassifierFreeGuidance(2.8), 5)[1])
assert torch.equal(prediction, guided(skip_guider(3, guidance_scale=1.0), 5)[1])

for step in range(1, 10):
    passes, prediction = guided(skip_guider(1, guidance_scale=5.0, stop=0.3), step)
    assert torch.equal(passes["pred_cond_skip"], skipped if step < 3 else other), step
print("as described")
PY
