#!/usr/bin/env bash
# diffusers 0.42.1: AdaptiveProjectedGuidance with momentum, as the guider of each expert in the modular blocks of Wan 2.2
#
# Wan 2.2 has an expert for early and one for late times, and its modular blocks a guider for each, so that either may be
# guided in its own way. AdaptiveProjectedGuidance(adaptive_projected_guidance_momentum=-0.5) mixes each difference of
# predictions with those before; the momentum's memory is made where the step is 0. Steps are counted over the whole video,
# and the second guider is first asked behind the boundary: for it there is no step 0, so it has no memory and guides without
# momentum. Seen with 8 steps: momentum given to guider_2 changes no bit of the video, be it -0.5 or 0.9, while that of the
# first does. One guider given as both has its memory made by the first expert and keeps it for the second, which is another video
# again; and one that has memory from an earlier video as the first keeps it, as second, from video to video: three calls with the
# same noise give three results. Nothing is raised or logged. AdaptiveProjectedMixGuidance is made the same way.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 diffusers==0.42.1 transformers==5.24.0 accelerate==1.15.0 pillow==12.1.0 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'PY'
import logging

import torch
from diffusers import UniPCMultistepScheduler, WanTransformer3DModel
from diffusers.guiders import AdaptiveProjectedGuidance, AdaptiveProjectedMixGuidance
from diffusers.modular_pipelines.wan.modular_blocks_wan22 import Wan22CoreDenoiseStep


class Heard(logging.Handler):
    said = []

    def emit(self, record):
        self.said.append(record.getMessage())


logging.getLogger("diffusers").addHandler(Heard())
torch.set_grad_enabled(False)


def made(seed):
    torch.manual_seed(seed)
    return WanTransformer3DModel(
        num_attention_heads=2, attention_head_dim=12, in_channels=16, out_channels=16, text_dim=32, freq_dim=32,
        ffn_dim=32, num_layers=2, rope_max_seq_len=32,
    ).eval()  # fmt: skip


def noise(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


experts = made(0), made(1)
calls = [0, 0]
for at, expert in enumerate(experts):
    expert.register_forward_pre_hook(lambda _, args, at=at: calls.__setitem__(at, calls[at] + 1))


def video(first, second):
    pipe = Wan22CoreDenoiseStep().init_pipeline()
    pipe.update_components(
        transformer=experts[0], transformer_2=experts[1], guider=first, guider_2=second,
        scheduler=UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0),
    )  # fmt: skip
    calls[:] = 0, 0
    return pipe(
        prompt_embeds=noise(0, 1, 8, 32), negative_prompt_embeds=noise(1, 1, 8, 32), height=64, width=64, num_frames=5,
        latents=noise(2, 1, 16, 2, 8, 8), num_inference_steps=8, output="latents",
    )  # fmt: skip


def apart(one, other):
    return float((one - other).norm() / other.norm())


kinds = {
    "AdaptiveProjectedGuidance": AdaptiveProjectedGuidance,
    "AdaptiveProjectedMixGuidance": lambda **more: AdaptiveProjectedMixGuidance(
        adaptive_projected_guidance_start_step=-1, **more
    ),
}
for name, kind in kinds.items():

    def guider(momentum):
        return kind(guidance_scale=4.0, adaptive_projected_guidance_momentum=momentum)

    plain = video(guider(None), guider(None))
    assert min(calls) >= 4, calls
    print(f"{name}: calls of the experts {calls}")
    for momentum in (-0.5, 0.9):
        first, second = video(guider(momentum), guider(None)), video(guider(None), guider(momentum))
        print(f"  momentum {momentum}: in the first guider moves the video by {apart(first, plain):.4f}, in the second by {apart(second, plain):.4f}")
        assert apart(first, plain) > 1e-3 and torch.equal(second, plain)
    both = video(guider(-0.5), guider(-0.5))
    assert torch.equal(both, video(guider(-0.5), guider(None)))
    one = guider(-0.5)
    shared = video(one, one)
    print(f"  one guider as both, from two of the same settings: {apart(shared, both):.4f}")
    assert apart(shared, both) > 1e-3
    # a guider that has a memory from an earlier video is never emptied as a second one
    one = guider(0.9)
    video(one, guider(None))
    results = [video(guider(None), one) for _ in range(3)]
    print(f"  three videos of the same noise with it as the second: {apart(results[1], results[0]):.4f} and {apart(results[2], results[1]):.4f} apart")
    assert apart(results[1], results[0]) > 1e-4 and apart(results[2], results[1]) > 1e-4
    assert torch.equal(video(guider(None), guider(None)), plain)
assert not [text for text in Heard.said if "omentum" in text], Heard.said
print("as described")
PY
