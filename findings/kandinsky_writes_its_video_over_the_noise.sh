#!/usr/bin/env bash
# diffusers 0.42.1: latents= of Kandinsky5T2VPipeline, and latents kept in callback_on_step_end, there and in SkyReels-V2
#
# One hands noise in as latents= to make a video again, or to try other prompts, steps or guidances on the same noise, and
# keeps the latents of each step in callback_on_step_end to look at them later. Kandinsky 5 writes each step into the tensor
# that it was given. Seen on a random network: after one call the caller's noise is the finished video, bit for bit. The
# same call with the same variable then denoises that video as if it were noise, and gives another one; with a copy of the
# noise it gives the first again. Latents kept in the callback are one tensor, so that those of all steps are those of the
# last, also without latents=; what looks like a run that has not moved is one that was overwritten. SkyReels-V2's diffusion
# forcing pipeline writes its frames into one tensor, too, and its kept steps are all the last. Wan's pipeline leaves the
# noise as it is, and its steps are tensors of their own. A tensor of another dtype is copied first, so that the same code
# with a network of bfloat16 and noise of float32 shows none of it in the noise. Nothing is raised or logged. The
# image-to-video and image-to-image pipelines of Kandinsky 5 are written alike.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 diffusers==0.42.1 transformers==5.24.0 ftfy==6.3.1 pillow==12.1.0 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'PY'
import torch
from diffusers import (
    AutoencoderKLWan, FlowMatchEulerDiscreteScheduler, Kandinsky5T2VPipeline, Kandinsky5Transformer3DModel,
    SkyReelsV2DiffusionForcingPipeline, SkyReelsV2Transformer3DModel, UniPCMultistepScheduler, WanPipeline,
    WanTransformer3DModel,
)  # fmt: skip

STEPS = 4
torch.manual_seed(0)
vae = AutoencoderKLWan(
    base_dim=8, z_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1, latents_mean=[0.0] * 4, latents_std=[1.0] * 4
)
wan_like = dict(
    patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=4, text_dim=16, freq_dim=16,
    ffn_dim=32, num_layers=2, rope_max_seq_len=32, cross_attn_norm=True,
)  # fmt: skip
transformer = Kandinsky5Transformer3DModel(
    in_visual_dim=4, out_visual_dim=4, in_text_dim=16, in_text_dim2=16, time_dim=16, model_dim=24, ff_dim=32, num_text_blocks=1,
    num_visual_blocks=2, axes_dims=(4, 4, 4),
)  # fmt: skip
for parameter in transformer.parameters():
    if not parameter.any():  # The modulations begin as zeros.
        torch.nn.init.normal_(parameter, std=0.05)
nothing = dict(tokenizer=None, text_encoder=None)
flow = dict(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
kandinsky = Kandinsky5T2VPipeline(
    transformer=transformer.eval(), vae=None, text_encoder_2=None, tokenizer_2=None,
    scheduler=FlowMatchEulerDiscreteScheduler(shift=5.0), **nothing,
)  # fmt: skip
skyreels = SkyReelsV2DiffusionForcingPipeline(
    transformer=SkyReelsV2Transformer3DModel(**wan_like).eval(), vae=vae, scheduler=UniPCMultistepScheduler(**flow), **nothing
)
wan = WanPipeline(
    transformer=WanTransformer3DModel(**wan_like).eval(), vae=vae, scheduler=UniPCMultistepScheduler(**flow), **nothing
)
words = {"prompt": None, "prompt_embeds": torch.randn(1, 7, 16)}
prompts = {
    kandinsky: {
        "prompt_embeds_qwen": torch.randn(1, 7, 16), "prompt_embeds_clip": torch.randn(1, 16),
        "prompt_cu_seqlens": torch.tensor([0, 7], dtype=torch.int32),
    },
    skyreels: words,
    wan: words,
}  # fmt: skip


def made(pipe, **start):
    """A video's latents, and those of each step as they were when it ended, and as they are when all have."""
    kept, copies = [], []

    def keep(pipe, step, time, tensors):
        kept.append(tensors["latents"])
        copies.append(tensors["latents"].clone())
        return {}

    pipe.set_progress_bar_config(disable=True)
    video = pipe(
        **prompts[pipe], **start, width=64, height=64, num_frames=9, num_inference_steps=STEPS, guidance_scale=1.0,
        output_type="latent", callback_on_step_end=keep,
    ).frames  # fmt: skip
    return video.clone(), kept, copies


for pipe, shape in ((kandinsky, (1, 3, 8, 8, 4)), (wan, (1, 4, 3, 8, 8))):
    noise = torch.randn(shape)
    before = noise.clone()
    first, second = made(pipe, latents=noise)[0], made(pipe, latents=noise)[0]
    again = made(pipe, latents=before.clone())[0]
    overwritten = not torch.equal(noise, before)
    change = float((second - first).norm() / first.norm())
    print(f"{type(pipe).__name__}: the noise that was handed in was overwritten: {overwritten}")
    print(f"  the second video of the same variable is off by {change:.3f}; that of a copy is the first: {torch.equal(again, first)}")
    assert torch.equal(again, first)
    assert overwritten == (pipe is kandinsky) and (change > 0.1 if overwritten else change == 0)
noise = torch.randn(1, 3, 8, 8, 4)
made(kandinsky, latents=noise)
last = made(kandinsky, latents=noise.clone())[0]
before = noise.clone()
assert torch.equal(made(kandinsky, latents=noise)[0], noise) and torch.equal(noise, last) and not torch.equal(noise, before)
double = noise.double()
made(kandinsky, latents=double)
print("Kandinsky's noise in another dtype stays:", torch.equal(double, noise.double()))
assert torch.equal(double, noise.double())

for pipe in (kandinsky, skyreels, wan):
    video, kept, copies = made(pipe, generator=torch.Generator().manual_seed(0))
    as_kept, as_copied = ([round(float((one - video).abs().max()), 3) for one in steps] for steps in (kept, copies))
    print(f"{type(pipe).__name__}: kept latents of each step, away from the last: {as_kept}; copies: {as_copied}")
    assert len(kept) == STEPS and min(as_copied[:-1]) > 0.01 and as_copied[-1] == 0
    assert (max(as_kept) == 0) == (pipe is not wan) and (as_kept == as_copied) == (pipe is wan)
print("as described")
PY
