#!/usr/bin/env bash
# diffusers 0.42.1: LTXConditionPipeline(latents=...), LTX-Video's pipeline for pictures and videos at given frames
#
# latents are documented as everywhere: "pre-generated noisy latents, sampled from a Gaussian distribution", to make other
# videos of the same noise. Here they are read for video-to-video alone. With denoise_strength=1, the default, they are
# dropped without a look at them, and noise is drawn: two calls with the same noise give two videos, two noises with one
# seed give the same one bit for bit, and latents of another video's size are taken, too. With a denoise_strength below 1
# they are what the text does not say, a clean video, to which noise is added. Seen on a random network, with a picture for
# the first frame; LTXPipeline starts from what it is given. LTX-2's condition pipeline takes latents for a clean video as
# well and mixes them with noise by noise_scale, 1 unless told otherwise, at which nothing of them is left. Nothing is
# raised or warned of, and no word of latents is logged. To set the noise one sets the generator.
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
    AutoencoderKLLTXVideo, FlowMatchEulerDiscreteScheduler, LTXConditionPipeline, LTXPipeline, LTXVideoTransformer3DModel,
)  # fmt: skip
from diffusers.pipelines.ltx2.pipeline_ltx2_condition import LTX2ConditionPipeline
from diffusers.utils.logging import disable_default_handler
from PIL import Image

torch.manual_seed(0)
vae = AutoencoderKLLTXVideo(
    latent_channels=8, block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4,
    layers_per_block=(1,) * 5, decoder_layers_per_block=(1,) * 5,
).eval()  # fmt: skip
transformer = LTXVideoTransformer3DModel(
    in_channels=8, out_channels=8, num_attention_heads=2, attention_head_dim=16, cross_attention_dim=32, num_layers=2,
    caption_channels=16,
).eval()  # fmt: skip
parts = dict(
    vae=vae, transformer=transformer, tokenizer=None, text_encoder=None, scheduler=FlowMatchEulerDiscreteScheduler()
)
condition, plain = LTXConditionPipeline(**parts), LTXPipeline(**parts)


class Heard(logging.Handler):
    said = []

    def emit(self, record):
        self.said.append(record.getMessage())


logging.getLogger("diffusers").addHandler(Heard())
disable_default_handler()
words = torch.randn(1, 7, 16)
picture = {"image": Image.new("RGB", (64, 64), (230, 110, 20)), "frame_index": 0}


def made(pipe, noise, seed, **more):
    pipe.set_progress_bar_config(disable=True)
    return pipe(
        latents=noise, generator=torch.Generator().manual_seed(seed), prompt_embeds=words,
        prompt_attention_mask=torch.ones(1, 7, dtype=torch.bool), width=64, height=64, num_frames=17, num_inference_steps=4,
        guidance_scale=1.0, output_type="latent", **more,
    ).frames  # fmt: skip


def pack(noise):
    return plain._pack_latents(noise)


one, other = torch.randn(2, 1, 8, 3, 2, 2)
print("pipeline, seeds      the same noise gives the same video, two noises give the same video")
for name, pipe, form, more in (
    ("LTXPipeline", plain, pack, {}),
    ("LTXConditionPipeline", condition, lambda noise: noise, picture),
    ("  at strength 0.9", condition, lambda noise: noise, {**picture, "denoise_strength": 0.9}),
):
    videos = [[made(pipe, form(noise), seed, **more) for seed in (1, 2)] for noise in (one, other)]
    same_noise = torch.equal(videos[0][0], videos[0][1])
    same_video = torch.equal(videos[0][0], videos[1][0])
    print(f"{name:22} {same_noise!s:6} {same_video}")
    assert (same_noise, same_video) == {"LTXPipeline": (True, False), "LTXConditionPipeline": (False, True)}.get(
        name, (False, False)
    )
taken = made(condition, torch.randn(1, 8, 9, 5, 5), 1, **picture)
print("latents of another size give the very same video:", torch.equal(taken, made(condition, one, 1, **picture)))
assert torch.equal(taken, made(condition, one, 1, **picture)) and torch.equal(taken, made(condition, None, 1, **picture))
try:
    made(condition, torch.randn(1, 8, 9, 5, 5), 1, denoise_strength=0.9, **picture)
except ValueError as error:
    print("at strength 0.9 their size is checked:", str(error)[:60], "...")
else:
    raise AssertionError

ltx2 = LTX2ConditionPipeline(
    vae=vae, transformer=transformer, audio_vae=None, text_encoder=None, tokenizer=None, connectors=None, vocoder=None,
    scheduler=FlowMatchEulerDiscreteScheduler(),
)  # fmt: skip
starts = [
    ltx2.prepare_latents(
        conditions=None, batch_size=1, num_channels_latents=8, height=64, width=64, num_frames=17, latents=noise.clone(),
        generator=torch.Generator().manual_seed(1), dtype=torch.float32, device="cpu",
    )[0]
    for noise in (one, other)
]  # fmt: skip
drawn = torch.randn(starts[0].shape, generator=torch.Generator().manual_seed(1))
print("LTX-2: two noises give the same start:", torch.equal(*starts), "- the generator's own noise:", torch.equal(starts[0], drawn))
assert torch.equal(*starts) and torch.equal(starts[0], drawn)
assert not [text for text in Heard.said if "latents" in text]
print("as described")
PY
