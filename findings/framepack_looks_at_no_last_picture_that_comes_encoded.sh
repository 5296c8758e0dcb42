#!/usr/bin/env bash
# diffusers 0.42.1: HunyuanVideoFramepackPipeline(last_image=..., last_image_latents=...)
#
# The pipeline leads a video to a last picture. It may come encoded: the documentation has last_image_latents as "pre-encoded
# last image latents. If not provided, the last image will be encoded using the VAE", and the check of the inputs lets one or
# the other pass and refuses both for the other sampling type. One would expect the same video from either. The latents are
# looked at only where last_image is given, and then made anew from it: alone they change nothing, bit for bit, whatever
# they hold, so who caches latents beside a data set gets videos without an end. And of last_image itself only the latents
# are used: it is run through the image encoder and averaged with the first picture's embedding, and the average goes nowhere:
# the network is given the embedding of the first picture. Nothing is raised or logged.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 diffusers==0.42.1 transformers==5.24.0 accelerate==1.15.0 pillow==12.1.0 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'PY'
import logging

import numpy as np
import torch
from diffusers import (
    AutoencoderKLHunyuanVideo,
    FlowMatchEulerDiscreteScheduler,
    HunyuanVideoFramepackPipeline,
    HunyuanVideoFramepackTransformer3DModel,
)
from PIL import Image
from transformers import SiglipImageProcessorPil, SiglipVisionConfig, SiglipVisionModel


class Heard(logging.Handler):
    said = []

    def emit(self, record):
        self.said.append(record.getMessage())


logging.getLogger("diffusers").addHandler(Heard())
torch.set_grad_enabled(False)
torch.manual_seed(0)
network = HunyuanVideoFramepackTransformer3DModel(
    in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=10, num_layers=1, num_single_layers=1,
    num_refiner_layers=1, text_embed_dim=16, pooled_projection_dim=8, rope_axes_dim=(2, 4, 4), has_image_proj=True,
    image_proj_dim=16, has_clean_x_embedder=True,
).eval()  # fmt: skip
vae = AutoencoderKLHunyuanVideo(
    latent_channels=4, block_out_channels=(8, 8, 8, 8), layers_per_block=1, norm_num_groups=4
).eval()
settings = SiglipVisionConfig(
    hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=16
)
pipe = HunyuanVideoFramepackPipeline(
    text_encoder=None, tokenizer=None, text_encoder_2=None, tokenizer_2=None, transformer=network, vae=vae,
    scheduler=FlowMatchEulerDiscreteScheduler(shift=7.0), image_encoder=SiglipVisionModel(settings).eval(),
    feature_extractor=SiglipImageProcessorPil(size={"height": 32, "width": 32}),
)  # fmt: skip
pipe.set_progress_bar_config(disable=True)


def noise(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def picture(seed):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8))


given = []
network.register_forward_pre_hook(lambda _, args, named: given.append(named), with_kwargs=True)
encoded = []
pipe.image_encoder.register_forward_hook(lambda _, args, output: encoded.append(output.last_hidden_state))


def video(**more):
    given.clear()
    encoded.clear()
    frames = pipe(
        image=picture(0), prompt_embeds=noise(1, 6, 16), pooled_prompt_embeds=noise(1, 8),
        prompt_attention_mask=torch.ones(1, 6), height=32, width=32, num_frames=9, latent_window_size=3,
        num_inference_steps=2, generator=torch.Generator().manual_seed(3), output_type="latent", **more,
    ).frames  # fmt: skip
    return frames[-1], [step["image_embeds"] for step in given], list(encoded)


plain, plain_embeds, _ = video()
by_picture, picture_embeds, seen = video(last_image=picture(1))
latents = given[0]["latents_clean"][:, :, 1:2].clone()  # what the pipeline has made of the last picture
assert latents.abs().max() > 0
by_latents, _, _ = video(last_image_latents=latents)
by_noise, _, _ = video(last_image_latents=100 * noise(*latents.shape))
print(f"last_image changes the video by {float((by_picture - plain).norm() / plain.norm()):.3f} of its length")
assert not given[0]["latents_clean"][:, :, 1:2].any()
print(f"last_image_latents, those that last_image was made to: {float((by_latents - plain).norm()):.3f}; noise times 100: {float((by_noise - plain).norm()):.3f}")
assert (by_picture - plain).norm() > 0.1 * plain.norm()
assert torch.equal(by_latents, plain) and torch.equal(by_noise, plain)
first, last = seen
print(f"embeddings of first and last picture, apart by {float((first - last).norm() / first.norm()):.3f} of their length")
print(f"embedding that the network is given with a last picture, from that of the first alone: {float((picture_embeds[0] - plain_embeds[0]).norm()):.3f}")
assert len(seen) == 2 and (first - last).norm() > 0.01 * first.norm()
assert all(torch.equal(one, first) for one in picture_embeds + plain_embeds)
for more in (dict(last_image=picture(1)), dict(last_image_latents=latents)):
    try:
        video(sampling_type="vanilla", **more)
    except ValueError as error:
        print("refused for the other sampling:", error)
    else:
        raise AssertionError("the other sampling takes it")
assert not [text for text in Heard.said if "last" in text], Heard.said
print("as described")
PY
