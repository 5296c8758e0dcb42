#!/usr/bin/env bash
# diffusers 0.42.1: eta, and the settings of clipping, of CogVideoXDDIMScheduler and CogVideoXDPMScheduler
#
# DDIM has eta: 0 gives a path without chance, 1 the noise of DDPM. step() of CogVideoX's two schedulers takes it,
# documented as "the weight of noise for added noise", beside variance_noise and use_clipped_model_output; their
# configuration has clip_sample (True by default, as for DDIM) and clip_sample_range, which limit the predicted video. None
# of these is looked at by either of the two. Seen: CogVideoXDDIM's step is bit for bit the same for eta 0 and 1, with any
# noise handed in, and with predictions far outside of [-1, 1], clipped or not; DDIMScheduler of the same settings moves by
# each of them, and agrees with CogVideoX's where all are off. CogVideoXDPM draws the same noise for any eta, 0 included,
# and not the variance_noise it is given. CogVideoXPipeline says that its eta is for DDIMScheduler alone, hands it on to any
# step() that takes it, and makes the same video for 0 and 1. Nothing is raised or logged.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 diffusers==0.42.1 transformers==5.24.0 pillow==12.1.0 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'PY'
import logging

import torch
from diffusers import (
    AutoencoderKLCogVideoX, CogVideoXDDIMScheduler, CogVideoXDPMScheduler, CogVideoXPipeline, CogVideoXTransformer3DModel,
    DDIMScheduler,
)  # fmt: skip


class Heard(logging.Handler):
    said = []

    def emit(self, record):
        self.said.append(record.getMessage())


logging.getLogger("diffusers").addHandler(Heard())
torch.manual_seed(0)
sample, output, noise = torch.randn(3, 1, 4, 3, 8, 8)
settings = dict(
    beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type="v_prediction",
    timestep_spacing="leading", set_alpha_to_one=True,
)  # fmt: skip


def seeded():
    return torch.Generator().manual_seed(1)


def stepped(kind, clip=False, **step):
    extra = {"snr_shift_scale": 1.0} if kind is not DDIMScheduler else {}
    scheduler = kind(**settings, **extra, clip_sample=clip)
    scheduler.set_timesteps(50)
    given = (None, 500, None) if kind is CogVideoXDPMScheduler else (500,)
    rest = {"generator": seeded()} if "variance_noise" not in step else {}
    return scheduler.step(output * 4, *given, sample, return_dict=False, **rest, **step)[0]


for kind in (DDIMScheduler, CogVideoXDDIMScheduler, CogVideoXDPMScheduler):
    plain = stepped(kind)
    changes = {
        "eta": stepped(kind, eta=1.0),
        "clip_sample": stepped(kind, clip=True),
        "clip_sample and use_clipped_model_output": stepped(kind, clip=True, use_clipped_model_output=True),
    }
    for name, other in changes.items():
        change = float((other - plain).abs().max())
        print(f"{kind.__name__}: a step changes by {change:.3f} with {name}")
        assert (change > 0.05) if kind is DDIMScheduler else change == 0
    if kind is not CogVideoXDPMScheduler:
        first, second = (stepped(kind, eta=1.0, variance_noise=one) for one in (noise, -noise))
        print(f"  and by {float((first - second).abs().max()):.3f} with another variance_noise, at eta 1")
        assert torch.equal(first, second) == (kind is CogVideoXDDIMScheduler)
same = float((stepped(DDIMScheduler) - stepped(CogVideoXDDIMScheduler)).abs().max())
print(f"with all off, DDIM and CogVideoX's DDIM differ by {same:.1e}")
assert same < 1e-5
print("DPM, eta 0: two seeds differ by", end=" ")
scheduler = CogVideoXDPMScheduler(**settings, snr_shift_scale=1.0)
scheduler.set_timesteps(50)
steps = [
    scheduler.step(
        output, None, 500, None, sample, eta=0.0, generator=torch.Generator().manual_seed(seed), return_dict=False, **given
    )[0]
    for seed, given in ((1, {}), (2, {}), (1, {"variance_noise": noise}), (1, {"variance_noise": -noise}))
]  # fmt: skip
print(f"{float((steps[0] - steps[1]).abs().max()):.3f}; variance_noise is left out:", torch.equal(steps[2], steps[3]))
assert not torch.equal(steps[0], steps[1]) and torch.equal(steps[0], steps[2]) and torch.equal(steps[0], steps[3])

vae = AutoencoderKLCogVideoX(
    down_block_types=("CogVideoXDownBlock3D",) * 4, up_block_types=("CogVideoXUpBlock3D",) * 4, block_out_channels=(8,) * 4,
    latent_channels=4, layers_per_block=1, norm_num_groups=2, temporal_compression_ratio=4,
)  # fmt: skip
transformer = CogVideoXTransformer3DModel(
    num_attention_heads=2, attention_head_dim=8, in_channels=4, out_channels=4, time_embed_dim=2, text_embed_dim=16, num_layers=1,
    sample_width=8, sample_height=8, sample_frames=9, patch_size=2, temporal_compression_ratio=4, max_text_seq_length=7,
).eval()  # fmt: skip
words = torch.randn(1, 7, 16)
for kind in (DDIMScheduler, CogVideoXDDIMScheduler, CogVideoXDPMScheduler):
    extra = {"snr_shift_scale": 1.0} if kind is not DDIMScheduler else {}
    pipe = CogVideoXPipeline(
        tokenizer=None, text_encoder=None, vae=vae, transformer=transformer, scheduler=kind(**settings, **extra)
    )
    pipe.set_progress_bar_config(disable=True)
    videos = [
        pipe(
            prompt_embeds=words, latents=noise.transpose(1, 2).clone(), width=64, height=64, num_frames=9, num_inference_steps=5,
            guidance_scale=1.0, eta=eta, generator=seeded(), output_type="latent",
        ).frames
        for eta in (0.0, 1.0)
    ]  # fmt: skip
    print(f"CogVideoXPipeline with {kind.__name__}: the video of eta 1 is that of eta 0:", torch.equal(*videos))
    assert torch.equal(*videos) == (kind is not DDIMScheduler)
assert not [text for text in Heard.said if "eta" in text or "clip" in text], Heard.said
print("as described")
PY
