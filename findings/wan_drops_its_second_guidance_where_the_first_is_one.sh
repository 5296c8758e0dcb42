#!/usr/bin/env bash
# diffusers 0.42.1: guidance_scale=1.0 with guidance_scale_2 above it, on pipelines of Wan 2.2 with two transformers
#
# Wan 2.2 makes a video with two networks, one for high and one for low noise, and the pipelines take a guidance for each.
# Step-distilled LoRAs are often laid on one of the two only; the network with the LoRA then wants a guidance of 1, and the
# other one its usual 3 or 4. Whether there is any guidance is asked of the first number alone. Seen on random networks: with
# guidance_scale=1.0 and guidance_scale_2=4.0 the video is bit for bit that of 1.0 and 1.0; the second network is called once
# for each step and the negative prompt never read. With 1.0001 in place of 1.0 the second network is called twice for each
# step, and the video is another. The other way round, 4.0 and 1.0, is right, but computes the prediction for the
# negative prompt at every step of the second network and then multiplies it by zero. WanPipeline, WanImageToVideoPipeline
# and WanVACEPipeline are written alike; the first two are measured. guidance_scale_2 is checked against the pipeline's
# boundary, so that a useless one raises an error, but here nothing is raised, warned or logged.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 diffusers==0.42.1 transformers==5.24.0 ftfy==6.3.1 pillow==12.1.0 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'PY'
import logging

import torch
from diffusers import (
    AutoencoderKLWan, UniPCMultistepScheduler, WanImageToVideoPipeline, WanPipeline, WanTransformer3DModel,
)  # fmt: skip
from PIL import Image

STEPS = 6
torch.manual_seed(0)
vae = AutoencoderKLWan(
    base_dim=8, z_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1, latents_mean=[0.0] * 4, latents_std=[1.0] * 4
)


def network(channels):
    return WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=channels, out_channels=4,
        text_dim=16, freq_dim=16, ffn_dim=32, num_layers=2, rope_max_seq_len=32, cross_attn_norm=True,
    ).eval()  # fmt: skip


def pipeline(kind, channels):
    scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
    pipe = kind(
        tokenizer=None, text_encoder=None, vae=vae, scheduler=scheduler, transformer=network(channels),
        transformer_2=network(channels), boundary_ratio=0.875,
    )  # fmt: skip
    pipe.set_progress_bar_config(disable=True)
    return pipe


class Heard(logging.Handler):
    said = []

    def emit(self, record):
        self.said.append(record.getMessage())


logging.getLogger("diffusers").addHandler(Heard())
words, negative, other = (torch.randn(1, 7, 16) for _ in range(3))
noise = torch.randn(1, 4, 3, 8, 8)
picture = {"image": Image.new("RGB", (64, 64), (200, 90, 30))}
for pipe, start in ((pipeline(WanPipeline, 4), {}), (pipeline(WanImageToVideoPipeline, 12), picture)):
    calls = {"transformer": 0, "transformer_2": 0}
    for name in calls:

        def count(*_, name=name):
            calls[name] += 1

        getattr(pipe, name).register_forward_hook(count)

    def made(first, second, negative=negative, pipe=pipe, start=start, calls=calls):
        calls.update(dict.fromkeys(calls, 0))
        video = pipe(
            **start, prompt_embeds=words, negative_prompt_embeds=negative, latents=noise.clone(), width=64, height=64,
            num_frames=9, num_inference_steps=STEPS, guidance_scale=first, guidance_scale_2=second, output_type="latent",
        ).frames  # fmt: skip
        return video, tuple(calls.values())

    plain, once = made(1.0, 1.0)
    print(f"{type(pipe).__name__}: calls of the two networks in {STEPS} steps:", once)
    high, low = once
    assert high and low and high + low == STEPS
    print("  guidance   calls   from the video without guidance   change by another negative prompt")
    for first, second in ((1.0, 4.0), (1.0001, 4.0), (4.0, 1.0)):
        video, called = made(first, second)
        away, by_negative = (
            float((one - video).norm() / video.norm()) for one in (plain, made(first, second, negative=other)[0])
        )
        print(f"  {first} {second}  {called}  {away:.4f}  {by_negative:.4f}")
        if first == 1.0:
            assert torch.equal(video, plain) and called == once and by_negative == 0
        else:
            assert away > 0.01 and by_negative > 0.01 and called == (2 * high, 2 * low)
assert not [text for text in Heard.said if "guidance" in text or "negative" in text]
print("as described")
PY
