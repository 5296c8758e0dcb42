#!/usr/bin/env bash
# diffusers 0.42.1: causal_block_size of SkyReelsV2DiffusionForcingPipeline, as the asynchronous mode takes it
#
# With ar_step=5 and causal_block_size=5, which the documentation recommends for asynchronous sampling, latent frames are
# denoised in blocks, one block behind the other. The blocks are counted by dividing, rounded down, and what is left over
# has no block: these frames are never given to the network, and come back as the noise that they were drawn as, which is
# then decoded to frames at the video's end. 97 and 121 frames, the two lengths that the documentation names, make 25 and 31
# latent frames: the first are five whole blocks, and of the second one is left behind, which is the last four frames. Seen
# on a random network with blocks of two: of 9, 13 and 17 frames (3, 4 and 5 latent frames) the last latent frame of 9 and
# of 17 is the generator's noise, bit for bit, and the network was given 2, 4 and 4 frames; without blocks all are denoised.
# The count of frames itself is checked, and rounded with a warning where it does not fit the autoencoder; here nothing is
# raised or logged. The schedule for 121 frames and blocks of five has 30 columns.
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
    AutoencoderKLWan, SkyReelsV2DiffusionForcingPipeline, SkyReelsV2Transformer3DModel, UniPCMultistepScheduler,
)  # fmt: skip

torch.manual_seed(0)
vae = AutoencoderKLWan(
    base_dim=8, z_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1, latents_mean=[0.0] * 4, latents_std=[1.0] * 4
)
transformer = SkyReelsV2Transformer3DModel(
    patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=4, text_dim=16, freq_dim=16,
    ffn_dim=32, num_layers=2, rope_max_seq_len=32, cross_attn_norm=True,
).eval()  # fmt: skip
pipe = SkyReelsV2DiffusionForcingPipeline(
    tokenizer=None, text_encoder=None, vae=vae, transformer=transformer,
    scheduler=UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=8.0),
)  # fmt: skip
pipe.set_progress_bar_config(disable=True)


class Heard(logging.Handler):
    said = []

    def emit(self, record):
        self.said.append(record.getMessage())


logging.getLogger("diffusers").addHandler(Heard())
widths = set()
transformer.register_forward_pre_hook(
    lambda _, args, kwargs: widths.add(kwargs["hidden_states"].shape[2]), with_kwargs=True
)
words = torch.randn(1, 7, 16)


def made(frames, **blocks):
    """A video's latents, the noise that it was made of, and how many latent frames the network saw."""
    widths.clear()
    latents = pipe(
        prompt=None, prompt_embeds=words, width=64, height=64, num_frames=frames, num_inference_steps=6, guidance_scale=1.0,
        generator=torch.Generator().manual_seed(0), output_type="latent", **blocks,
    ).frames  # fmt: skip
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    return latents, noise, sorted(widths)


asynchronous = {"ar_step": 2, "causal_block_size": 2}
print("frames  mode  latent frames that are still the noise  latent frames given to the network")
for frames in (9, 13, 17):
    for name, blocks in (("blocks of two", asynchronous), ("no blocks", {"ar_step": 0, "causal_block_size": 1})):
        latents, noise, seen = made(frames, **blocks)
        count = latents.shape[2]
        still = [number for number in range(count) if torch.equal(latents[:, :, number], noise[:, :, number])]
        print(f"{frames:5}  {name:14} {still} of {count}  {seen}")
        left = count % blocks["causal_block_size"]
        assert still == list(range(count - left, count)) and seen == [count - left]
assert not Heard.said, Heard.said

pipe.scheduler.set_timesteps(30)
for frames in (97, 121):
    latent = (frames - 1) // 4 + 1
    matrix = pipe.generate_timestep_matrix(latent, pipe.scheduler.timesteps, latent, ar_step=5, causal_block_size=5)[0]
    print(f"{frames} frames, blocks of five: {latent} latent frames, schedule for {matrix.shape[1]}")
    assert matrix.shape[1] == latent // 5 * 5
print("as described")
PY
