#!/usr/bin/env bash
# diffusers 0.42.1: ClassifierFreeZeroStarGuidance with guidance_rescale
#
# CFG-Zero* predicts zeros in the first steps (zero_init_steps=1 by default), which leaves the noise as it is. The same guider
# takes guidance_rescale, which brings the standard deviation of the guided prediction back to that of the conditional one.
# Both are in one signature, so one would use them together. The rescale is done in every step, also to the zeros: their
# standard deviation is 0, the factor is infinite, and 0 times infinity is NaN. Seen: with any guidance_rescale above 0 the
# first prediction is all NaN, and so is every later latent, with an error or warning from neither guider nor scheduler.
# Without a rescale, or with zero_init_steps=0, all is finite, and so it is with the plain guider and the same rescale. All
# steps of a long run are still computed; what is wrong shows when NaN is cast to bytes at its end.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 diffusers==0.42.1 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" -W error::RuntimeWarning - <<'PY'
import torch
from diffusers import ClassifierFreeGuidance, ClassifierFreeZeroStarGuidance, FlowMatchEulerDiscreteScheduler

STEPS = 8


def nan_shares(guider):
    """By step, the share of a video's latent numbers that are NaN, under a network of two linear maps."""
    draw = torch.Generator().manual_seed(0)
    latents = torch.randn(1, 16, 5, 8, 8, generator=draw)
    maps = [torch.randn(16, 16, generator=draw) / 4 for _ in range(2)]
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(STEPS)
    shares = []
    for step, time in enumerate(scheduler.timesteps):
        guider.set_state(step=step, num_inference_steps=STEPS, timestep=time)
        cond, uncond = (torch.einsum("oc,bcthw->bothw", weight, latents) for weight in maps)
        latents = scheduler.step(guider.forward(cond, uncond).pred, time, latents, return_dict=False)[0]
        shares.append(latents.isnan().float().mean().item())
    return shares


seen = {}
for rescale in (0.0, 0.01, 0.7):
    for zeros in (0, 1):
        guider = ClassifierFreeZeroStarGuidance(guidance_scale=5.0, zero_init_steps=zeros, guidance_rescale=rescale)
        seen[zeros, rescale] = nan_shares(guider)
        print(f"zero_init_steps={zeros} guidance_rescale={rescale}: share of NaN by step", seen[zeros, rescale])
assert ClassifierFreeZeroStarGuidance().config["zero_init_steps"] == 1
for (zeros, rescale), shares in seen.items():
    assert shares == [1.0 if zeros and rescale else 0.0] * STEPS, (zeros, rescale, shares)
assert nan_shares(ClassifierFreeGuidance(guidance_scale=5.0, guidance_rescale=0.7)) == [0.0] * STEPS
print("as described")
PY
