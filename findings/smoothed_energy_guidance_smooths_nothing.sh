#!/usr/bin/env bash
# diffusers 0.42.1: SmoothedEnergyGuidance, alone and beside classifier-free guidance, and the blur it would apply
#
# The guider adds a third pass whose queries are blurred over the picture; seg_blur_sigma says how far. The other guiders
# count their passes in prepare_models, which this one replaces without the count, so that the pass to be blurred never
# comes. Seen on a small Wan transformer: the third pass, pred_cond_seg, equals the first bit for bit, and the guided
# prediction is the same for a scale of 0, 2.8 and 50 to the rounding of float32: half as much work again for nothing. With
# guidance_scale=1 the pass is that of the negative prompt, unblurred. Its hook, applied by hand, does not know sigma either:
# the two cases are exchanged, and queries are set to their mean, which is the infinite blur, for 0.1 and for 3 alike; only
# above seg_blur_threshold_inf, where the mean is documented, a Gaussian is convolved. None of it is raised or logged.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 diffusers==0.42.1 numpy==2.2.6
"$work/venv/bin/python" - <<'PY'
import torch
from diffusers import WanTransformer3DModel
from diffusers.guiders import SmoothedEnergyGuidance
from diffusers.hooks.smoothed_energy_guidance_utils import SmoothedEnergyGuidanceConfig, SmoothedEnergyGuidanceHook

torch.manual_seed(0)
network = WanTransformer3DModel(
    patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=4, text_dim=16,
    freq_dim=16, ffn_dim=32, num_layers=4, rope_max_seq_len=32,
).eval()
noise, words, negative = torch.randn(1, 4, 3, 8, 8), torch.randn(1, 6, 16), torch.randn(1, 6, 16)
time = torch.tensor([500.0])


@torch.no_grad()
def guided(scale, guidance_scale, sigma):
    """The passes by name, and the guided prediction, in the middle of 10 steps."""
    guider = SmoothedEnergyGuidance(
        guidance_scale=guidance_scale, seg_guidance_scale=scale, seg_blur_sigma=sigma, seg_guidance_start=0.0,
        seg_guidance_stop=1.0, seg_guidance_config=SmoothedEnergyGuidanceConfig(indices=[1], fqn="blocks"),
    )
    guider.set_state(step=5, num_inference_steps=10, timestep=time)
    passes = guider.prepare_inputs({"encoder_hidden_states": (words, negative)})
    for one in passes:
        guider.prepare_models(network)
        one.noise_pred = network(noise, time, one.encoder_hidden_states, return_dict=False)[0]
        guider.cleanup_models(network)
    return {one.as_dict()[guider._identifier_key]: one.noise_pred for one in passes}, guider(passes).pred


bare = guided(0.0, 5.0, 3.0)[1]
for scale in (2.8, 50.0):
    for sigma in (0.5, 3.0, 1e7):
        passes, prediction = guided(scale, 5.0, sigma)
        assert list(passes) == ["pred_cond", "pred_uncond", "pred_cond_seg"]
        assert torch.equal(passes["pred_cond_seg"], passes["pred_cond"])
        assert torch.allclose(prediction, bare, atol=1e-6)
passes = guided(2.8, 1.0, 3.0)[0]
with torch.no_grad():
    assert torch.equal(passes["pred_cond_seg"], network(noise, time, negative, return_dict=False)[0])

queries = torch.randn(1, 64, 5)
mean = queries.mean(dim=1, keepdim=True).expand_as(queries)
for sigma in (0.1, 1.0, 3.0, 1e7):
    blurred = SmoothedEnergyGuidanceHook(blur_sigma=sigma).post_forward(None, queries.clone())
    print("sigma", sigma, "varies by", float(blurred.std(dim=1).mean()), "of", float(queries.std(dim=1).mean()))
    assert torch.allclose(blurred, mean, atol=1e-6) == (sigma < 1e7)
print("as described")
PY
