#!/usr/bin/env bash
# diffusers 0.42.1: StableVideoDiffusionPipeline with a list of pictures and num_videos_per_prompt
#
# The pipeline takes a list of pictures, and a number of videos for each. A picture goes in by two ways: its latents are given to
# the network beside the noise, and its CLIP embedding through the attention. With pictures a and b and two videos of each
# the latents are put in order a b a b and the embeddings a a b b. Seen on a random network, with noise handed in: the first
# and last of four videos are what a call with their picture alone gives; the two in between have the frame of one picture
# and the embedding of the other, and are the video of neither. With three pictures two of six are right. One picture with
# many videos, or many pictures with one video each, come out right, and so do two of each where every picture is written
# twice in the list. Nothing is raised or logged.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 diffusers==0.42.1 transformers==5.24.0 pillow==12.1.0 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'PY'
import numpy as np
import torch
from diffusers import (
    AutoencoderKLTemporalDecoder, EulerDiscreteScheduler, StableVideoDiffusionPipeline, UNetSpatioTemporalConditionModel,
)  # fmt: skip
from PIL import Image
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

torch.manual_seed(0)
unet = UNetSpatioTemporalConditionModel(
    block_out_channels=(32, 64), layers_per_block=1, sample_size=8, in_channels=8, out_channels=4,
    down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
    up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
    cross_attention_dim=32, num_attention_heads=(4, 8), projection_class_embeddings_input_dim=96, addition_time_embed_dim=32,
)  # fmt: skip
vae = AutoencoderKLTemporalDecoder(
    block_out_channels=(32, 64), in_channels=3, out_channels=3, latent_channels=4,
    down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
)  # fmt: skip
image_encoder = CLIPVisionModelWithProjection(
    CLIPVisionConfig(
        hidden_size=32, projection_dim=32, num_hidden_layers=2, num_attention_heads=4, image_size=224, patch_size=32,
        intermediate_size=37,
    )  # fmt: skip
)
scheduler = EulerDiscreteScheduler(
    beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", interpolation_type="linear", num_train_timesteps=1000,
    prediction_type="v_prediction", sigma_max=700.0, sigma_min=0.002, steps_offset=1, timestep_spacing="leading",
    timestep_type="continuous", use_karras_sigmas=True,
)  # fmt: skip
pipe = StableVideoDiffusionPipeline(
    vae=vae.eval(), image_encoder=image_encoder.eval(), unet=unet.eval(), scheduler=scheduler,
    feature_extractor=CLIPImageProcessor(crop_size=224, size=224),
)  # fmt: skip
pipe.set_progress_bar_config(disable=True)
random = np.random.default_rng(0)
pictures = [Image.fromarray(random.integers(0, 256, (32, 32, 3), np.uint8)) for _ in range(3)]
noise = torch.randn(6, 2, 4, 16, 16)


def made(images, each, noise):
    return pipe(
        images, height=32, width=32, num_frames=2, num_inference_steps=2, num_videos_per_prompt=each, latents=noise.clone(),
        noise_aug_strength=0.0, max_guidance_scale=1.0, output_type="latent",
    ).frames  # fmt: skip


def apart(one, other):
    return float((one - other).norm() / other.norm())


for count in (1, 2, 3):
    used = noise[: 2 * count]
    right = torch.stack([made([pictures[number // 2]], 1, each[None])[0] for number, each in enumerate(used)])
    other = torch.stack([made([pictures[(number // 2 + 1) % 3]], 1, each[None])[0] for number, each in enumerate(used)])
    scale = [apart(*pair) for pair in zip(other, right, strict=True)]
    written = [picture for picture in pictures[:count] for _ in range(2)]
    for name, videos in (("two videos each", made(pictures[:count], 2, used)), ("written twice", made(written, 1, used))):
        errors = [apart(*pair) / whole for *pair, whole in zip(videos, right, scale, strict=True)]
        print(f"{count} pictures, {name}: errors as a share of what another picture makes", [round(one, 4) for one in errors])
        for number, error in enumerate(errors):
            # The picture of its latents against the picture of its embedding.
            fits = name == "written twice" or number % count == number // 2
            assert error < 1e-3 if fits else error > 0.1
        if count == 2 and name == "two videos each":
            ways = [
                [apart(video, made([picture], 1, each[None])[0]) for picture in pictures[:2]]
                for video, each in zip(videos, used, strict=True)
            ]
            print("  distance of each to the videos of a and of b:", [[round(one, 4) for one in way] for way in ways])
            assert all(min(ways[number]) > 0.01 for number in (1, 2))
print("as described")
PY
