#!/usr/bin/env bash
# diffusers 0.42.1: AdaptiveProjectedGuidance() of the modular pipelines on latents of pictures and videos
#
# adaptive_projected_guidance_rescale, 15 by default, is described as a factor. It is the longest that the difference between
# the prompt's and the negative prompt's prediction may be, as a norm over all channels, frames, rows and columns of a
# sample: it grows with the root of their number, and the limit does not. What is shortened is added to the negative prompt's
# prediction, so that the scale does not end at 1, no guidance, but at 0, no prompt. Seen with a difference of a tenth of the
# prediction's standard deviation and Wan's latents of 480 by 832: guidance_scale=7.5 acts like 7.5 for 256 by 256 pixels,
# 3.6 for one frame, 1.6 for 17 and 0.78 for 81 frames: less of the prompt than without any guidance. With
# use_original_formulation=True it is 1.78. Twice the length is the same prompt with 0.7 of the weight. With 0, or with
# adaptive_projected_guidance_norm_dim=1, the frames do not matter. None of it is raised or logged.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 diffusers==0.42.1 numpy==2.2.6
"$work/venv/bin/python" - <<'PY'
import torch
from diffusers.guiders import AdaptiveProjectedGuidance

torch.manual_seed(0)


def acts_like(frames, height=60, width=104, **settings):
    """The scale of a plain classifier-free guidance that is nearest to what the guider makes of these latents."""
    prompt = torch.randn(1, 16, frames, height, width)
    negative = prompt + 0.1 * torch.randn_like(prompt)
    guider = AdaptiveProjectedGuidance(guidance_scale=7.5, **settings)
    guider.set_state(step=5, num_inference_steps=10, timestep=torch.tensor([500.0]))
    guided = guider.forward(prompt, negative).pred
    difference = prompt - negative
    assert (guided - negative - (scale := float(((guided - negative) * difference).sum() / difference.square().sum()))
            * difference).abs().max() < 1e-4
    return scale


assert AdaptiveProjectedGuidance().adaptive_projected_guidance_rescale == 15.0
scales = {"256 x 256": acts_like(1, 32, 32), 1: acts_like(1), 17: acts_like(5), 81: acts_like(21), 161: acts_like(41)}
print(scales)
for frames, scale in (("256 x 256", 7.5), (1, 3.56), (17, 1.59), (81, 0.776), (161, 0.556)):
    assert abs(scales[frames] - scale) < 0.02 * scale, (frames, scales[frames])
original = acts_like(21, use_original_formulation=True)
print("original formulation:", original)
assert 1.6 < original < 1.9
assert abs(acts_like(21, adaptive_projected_guidance_rescale=0.0) - 7.5) < 1e-3
per_place = [acts_like(frames, adaptive_projected_guidance_norm_dim=1) for frames in (1, 21)]
print("by place:", per_place)
assert max(abs(scale - 7.5) for scale in per_place) < 1e-3
print("as described")
PY
