#!/usr/bin/env bash
# diffusers 0.42.1: AutoencoderKLHunyuanVideo as it is made, and after disable_tiling(), on videos of more than 17 frames
#
# Tiling trades numbers for memory and is asked for with enable_tiling(); disable_tiling() "will go back to computing decoding
# in one step". Hunyuan's autoencoder is made with tiling off over rows and columns, and on over time: videos are cut into
# tiles of 17 frames, 12 apart, encoded one by one as if each began a video, and joined with a blend. Neither call touches
# that, for use_framewise_encoding and use_framewise_decoding are attributes without a method. LTX-Video's and Mochi's have
# the same two, and off. Seen with random weights: the latents of 17 frames are those of one step, those of 33 are off from
# them by a sixth in the first tile and by half and more behind it, and what is decoded is off by a tenth and more in every
# frame. disable_tiling() changes no bit; setting both attributes to False does. So the latents of a data set depend on where
# a clip is cut, are not those of a program that encodes in one step, and a loss through the decoder goes through tiles. The
# class's documentation does not name it, and nothing is logged.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 diffusers==0.42.1 transformers==5.24.0 pillow==12.1.0 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'PY'
import logging

import torch
from diffusers import AutoencoderKLHunyuanVideo, AutoencoderKLLTXVideo, AutoencoderKLMochi


class Heard(logging.Handler):
    said = []

    def emit(self, record):
        self.said.append(record.getMessage())


logging.getLogger("diffusers").addHandler(Heard())
torch.manual_seed(0)
torch.set_grad_enabled(False)
settings = dict(latent_channels=4, block_out_channels=(8, 8, 8, 8), layers_per_block=1, norm_num_groups=2)
vae = AutoencoderKLHunyuanVideo(**settings).eval()
assert not vae.use_tiling and not vae.use_slicing
video = torch.nn.functional.interpolate(torch.rand(1, 3, 9, 8, 8), size=(33, 32, 32), mode="trilinear") * 2 - 1


def encoded(video):
    return vae.encode(video).latent_dist.mode()


def decoded(latents):
    return vae.decode(latents).sample


def apart(one, other):
    """How far each frame is from another, as a part of it."""
    assert one.shape == other.shape
    return [round(float((one[:, :, at] - other[:, :, at]).norm() / other[:, :, at].norm()), 3) for at in range(one.shape[2])]


lengths = []
hook = vae.encoder.register_forward_pre_hook(lambda _, args: lengths.append(args[0].shape[2]))
as_made = {frames: encoded(video[:, :, :frames]) for frames in (17, 21, 33)}
print("frames that the encoder is given, for 17, 21 and 33:", lengths)
assert lengths[-3:] == [17, 17, 9]
vae.disable_tiling()
off = encoded(video)
assert torch.equal(off, as_made[33])
vae.use_framewise_encoding = False
lengths.clear()
whole = {frames: encoded(video[:, :, :frames]) for frames in as_made}
assert lengths == list(as_made)
hook.remove()
for frames, latents in as_made.items():
    print(f"{frames} frames, latents as made from those in one step: {apart(latents, whole[frames])}")
assert max(apart(as_made[17], whole[17])) < 1e-5
assert min(apart(as_made[33], whole[33])) > 0.05 and min(apart(as_made[33], whole[33])[5:]) > 0.3

latents = whole[33]
video_as_made = decoded(latents)
vae.use_framewise_decoding = False
one_step = decoded(latents)
errors = apart(video_as_made, one_step)
print(f"decoded, as made from in one step: {min(errors)} to {max(errors)}")
assert min(errors) > 0.05
vae.disable_tiling()
assert torch.equal(decoded(latents), one_step)

others = [
    AutoencoderKLLTXVideo(
        latent_channels=8, block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4, layers_per_block=(1,) * 5,
        decoder_layers_per_block=(1,) * 5,
    ),
    AutoencoderKLMochi(
        in_channels=15, latent_channels=4, encoder_block_out_channels=(32,) * 4, decoder_block_out_channels=(32,) * 4,
        layers_per_block=(1,) * 5, latents_mean=[0.0] * 4, latents_std=[1.0] * 4,
    ),
]  # fmt: skip
for other in others:
    print(type(other).__name__, "as made:", other.use_framewise_encoding, other.use_framewise_decoding)
    assert not other.use_framewise_encoding and not other.use_framewise_decoding
made = AutoencoderKLHunyuanVideo(**settings)
assert made.use_framewise_encoding and made.use_framewise_decoding
assert not [text for text in Heard.said if "til" in text or "frame" in text], Heard.said
print("as described")
PY
