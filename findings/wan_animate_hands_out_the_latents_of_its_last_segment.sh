#!/usr/bin/env bash
# diffusers 0.42.1: WanAnimatePipeline(output_type="latent") on a pose video that is longer than one segment
#
# Latents are asked for to decode them elsewhere (later, in tiles, on another machine), to refine or to store them, and one
# would expect those of the video that "np" or "pt" gives. Wan-Animate makes a video in segments, each led by the last frames of
# the one before, and keeps the decoded frames of all; of the latents it keeps one variable. With "latent" a pose video of 17,
# 33 or 49 frames in segments of 17 gives 6 latent frames: those of the last segment, and in front the frame of the
# reference picture, which belongs to no video. All other segments were made, decoded and dropped. Neither are these
# latents like those of WanPipeline, which come as its scheduler leaves them: they are scaled to the autoencoder's own range
# already, so code that decodes WanPipeline's scales them twice. The documentation names no exception; nothing is raised or logged.
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
    AutoencoderKLWan,
    UniPCMultistepScheduler,
    WanAnimatePipeline,
    WanAnimateTransformer3DModel,
    WanPipeline,
    WanTransformer3DModel,
)
from PIL import Image
from transformers import CLIPImageProcessorPil, CLIPVisionConfig, CLIPVisionModel


class Heard(logging.Handler):
    said = []

    def emit(self, record):
        self.said.append(record.getMessage())


logging.getLogger("diffusers").addHandler(Heard())
torch.set_grad_enabled(False)
torch.manual_seed(0)
common = dict(
    num_attention_heads=2, attention_head_dim=12, out_channels=16, text_dim=32, freq_dim=256, ffn_dim=32, num_layers=2,
    rope_max_seq_len=32,
)  # fmt: skip
network = WanAnimateTransformer3DModel(
    in_channels=36, latent_channels=16, image_dim=4, motion_encoder_channel_sizes={"4": 16, "8": 16, "16": 16},
    motion_encoder_size=16, motion_style_dim=8, motion_dim=4, motion_encoder_dim=16, face_encoder_hidden_dim=16,
    face_encoder_num_heads=2, inject_face_latents_blocks=2, **common,
).eval()  # fmt: skip
vae = AutoencoderKLWan(
    base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
).eval()
settings = CLIPVisionConfig(
    hidden_size=4, projection_dim=4, num_hidden_layers=2, num_attention_heads=2, image_size=32, intermediate_size=16,
    patch_size=16,
)  # fmt: skip


def scheduler():
    return UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)


pipe = WanAnimatePipeline(
    tokenizer=None, text_encoder=None, vae=vae, scheduler=scheduler(), transformer=network,
    image_processor=CLIPImageProcessorPil(crop_size=32, size=32), image_encoder=CLIPVisionModel(settings).eval(),
)  # fmt: skip
pipe.set_progress_bar_config(disable=True)


def pictures(count, size, seed):
    random = np.random.default_rng(seed)
    return [Image.fromarray(random.integers(0, 256, (size, size, 3), dtype=np.uint8)) for _ in range(count)]


embeds = torch.randn(1, 8, 32, generator=torch.Generator().manual_seed(0))


def made(frames, kind):
    return pipe(
        image=pictures(1, 32, 0)[0], pose_video=pictures(frames, 32, 1), face_video=pictures(frames, 16, 2),
        prompt_embeds=embeds, height=32, width=32, segment_frame_length=17, num_inference_steps=2,
        generator=torch.Generator().manual_seed(3), output_type=kind,
    ).frames  # fmt: skip


def shown(latents):
    """Frames, channels, rows and columns from 0 to 1."""
    return (vae.decode(latents, return_dict=False)[0][0].clamp(-1, 1) * 0.5 + 0.5).permute(1, 0, 2, 3)


mean = torch.tensor(vae.config.latents_mean).view(1, -1, 1, 1, 1)
deviation = torch.tensor(vae.config.latents_std).view(1, -1, 1, 1, 1)
for frames in (17, 33, 49):
    video, latents = made(frames, "pt")[0], made(frames, "latent")
    print(f"{frames} frames: {len(video)} frames of video, {latents.shape[2]} of latents, where {(frames - 1) // 4 + 1} hold them")
    assert len(video) == frames and latents.shape[2] == 6
    decoded = shown(latents[:, :, 1:])
    assert len(decoded) == 17
    # the first frame of a later segment is one of the segment before
    last = float((decoded[1:] - video[-16:]).abs().max())
    begin = float((decoded[1:] - video[1:17]).abs().max())
    print(f"  decoded as they are: off by {last:.4f} from the last 16 frames, by {begin:.4f} from the 16 behind the first")
    assert last < 1e-5 and (begin > 0.01 or frames == 17)
    twice = float((shown(latents[:, :, 1:] * deviation + mean)[1:] - video[-16:]).abs().max())
    print(f"  decoded as WanPipeline's: off by {twice:.4f}")
    assert twice > 0.01

plain = WanPipeline(
    tokenizer=None, text_encoder=None, vae=vae, scheduler=scheduler(),
    transformer=WanTransformer3DModel(in_channels=16, **common).eval(),
)  # fmt: skip
plain.set_progress_bar_config(disable=True)
of_wan = {
    kind: plain(
        prompt_embeds=embeds, negative_prompt_embeds=embeds, height=32, width=32, num_frames=17, num_inference_steps=2,
        generator=torch.Generator().manual_seed(3), output_type=kind,
    ).frames
    for kind in ("pt", "latent")
}  # fmt: skip
assert (shown(of_wan["latent"] * deviation + mean) - of_wan["pt"][0]).abs().max() < 1e-5
assert (shown(of_wan["latent"]) - of_wan["pt"][0]).abs().max() > 0.01
assert not [text for text in Heard.said if "latent" in text or "segment" in text], Heard.said
print("as described")
PY
