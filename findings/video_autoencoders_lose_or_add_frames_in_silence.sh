#!/usr/bin/env bash
# diffusers 0.42.1: encode and decode of the causal video autoencoders, with a number of frames between two of their steps
#
# All four compress time by four (LTX: eight) after the first frame, and none checks that the frames fit. Seen:
# AutoencoderKLWan makes two latent frames of 8 frames and never looks at the last three: change them, and the latents are
# equal bit for bit; decoded they are 5 frames. AutoencoderKLLTXVideo makes 9 of 16, AutoencoderKLHunyuanVideo 5 of 8.
# AutoencoderKLCogVideoX goes the other way, and even for lengths of the form 4 k + 1: 5 frames come back as 8 and 13 as 16,
# while 9 and 17 come back whole. It decodes latent frames in pairs; where their number is even, the first one, which holds
# one frame, is decoded to four like the others, so that all later frames come three too late. CogVideoX 1.5, whose
# transformer wants an even number of latent frames, cannot simply be given one: its makers repeat the first and drop it
# before decoding. Nothing is raised or logged by any of them.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 diffusers==0.42.1 numpy==2.2.6
"$work/venv/bin/python" - <<'PY'
import torch
from diffusers import AutoencoderKLCogVideoX, AutoencoderKLHunyuanVideo, AutoencoderKLLTXVideo, AutoencoderKLWan

torch.manual_seed(0)
four = (8, 8, 8, 8)
WAN = AutoencoderKLWan(
    base_dim=8, z_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1, latents_mean=[0.0] * 4, latents_std=[1.0] * 4
)
COG = AutoencoderKLCogVideoX(block_out_channels=four, layers_per_block=1, norm_num_groups=4, latent_channels=4)
HUNYUAN = AutoencoderKLHunyuanVideo(latent_channels=4, block_out_channels=four, layers_per_block=1, norm_num_groups=4)
LTX = AutoencoderKLLTXVideo(
    latent_channels=8, block_out_channels=four, decoder_block_out_channels=four,
    layers_per_block=(1,) * 5, decoder_layers_per_block=(1,) * 5,
)


@torch.no_grad()
def encode(vae, clip):
    return vae.eval().encode(clip).latent_dist.mean


@torch.no_grad()
def returned(vae, frames):
    """Frames that come back."""
    return vae.decode(encode(vae, torch.rand(1, 3, frames, 32, 32))).sample.shape[2]


for name, vae, seen in (
    ("Wan", WAN, {5: 5, 6: 5, 8: 5, 16: 13, 17: 17}),
    ("LTX", LTX, {9: 9, 16: 9, 17: 17}),
    ("HunyuanVideo", HUNYUAN, {5: 5, 8: 5, 16: 13, 17: 17}),
    ("CogVideoX", COG, {5: 8, 9: 9, 13: 16, 17: 17}),
):
    found = {frames: returned(vae, frames) for frames in seen}
    print(name, found)
    assert found == seen, (name, found)

clip = torch.rand(1, 3, 8, 32, 32)
other = clip.clone()
other[:, :, 5:] = 0
assert torch.equal(encode(WAN, clip), encode(WAN, other))  # three frames that nothing reads

latents = encode(COG, torch.rand(1, 3, 13, 32, 32))
with torch.no_grad():
    alone = COG.decode(latents[:, :, :1]).sample
assert alone.shape[2] == 1  # the first latent frame is one frame, of which decoding all makes four
print("as described")
PY
