#!/usr/bin/env bash
# diffusers 0.42.1: LTXImageToVideoPipeline(image=..., latents=...)
#
# latents are "pre-generated noisy latents, sampled from a Gaussian distribution": one hands them in to make the same video
# again, or to compare prompts or pictures with the noise alike. Other image-to-video pipelines (Wan's, CogVideoX's) put the
# picture beside them. In LTX-Video the picture is the first latent frame itself, which is marked as clean. With latents the
# picture is neither resized nor encoded, and the mark is set all the same: the first frame of pure noise is taken for the
# picture, is never denoised and comes back as it was. Seen on a random network: with latents a black and a coloured picture
# give the same video bit for bit, and its first latent frame is the noise; without latents the two differ in every frame.
# The shape of latents is checked, and nothing is raised, warned or logged. LTX-2's pipeline is written alike. Encoding the
# picture by hand and writing it over the first frame of the noise makes the very video that a generator makes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 diffusers==0.42.1 transformers==5.24.0 pillow==12.1.0 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'PY'
import torch
from diffusers import (
    AutoencoderKLLTXVideo, AutoencoderKLWan, FlowMatchEulerDiscreteScheduler, LTXImageToVideoPipeline,
    LTXVideoTransformer3DModel, WanImageToVideoPipeline, WanTransformer3DModel,
)  # fmt: skip
from PIL import Image

torch.manual_seed(0)
vae = AutoencoderKLLTXVideo(
    latent_channels=8, block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4,
    layers_per_block=(1,) * 5, decoder_layers_per_block=(1,) * 5,
)  # fmt: skip
transformer = LTXVideoTransformer3DModel(
    in_channels=8, out_channels=8, num_attention_heads=2, attention_head_dim=16, cross_attention_dim=32, num_layers=2,
    caption_channels=16,
)  # fmt: skip
parts = dict(tokenizer=None, text_encoder=None, scheduler=FlowMatchEulerDiscreteScheduler())
ltx = LTXImageToVideoPipeline(vae=vae.eval(), transformer=transformer.eval(), **parts)
wan = WanImageToVideoPipeline(
    vae=AutoencoderKLWan(
        base_dim=8, z_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1, latents_mean=[0.0] * 4, latents_std=[1.0] * 4
    ),
    transformer=WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=12, out_channels=4, text_dim=16,
        freq_dim=16, ffn_dim=32, num_layers=2, rope_max_seq_len=32, cross_attn_norm=True,
    ),
    **parts,
)  # fmt: skip
for pipe in (ltx, wan):
    pipe.set_progress_bar_config(disable=True)

pictures = [Image.new("RGB", (64, 64), colour) for colour in ("black", (240, 120, 20))]
words = torch.randn(1, 7, 16)
options = dict(
    prompt_embeds=words, width=64, height=64, num_frames=17, num_inference_steps=3, guidance_scale=1.0, output_type="latent"
)
masks = dict(prompt_attention_mask=torch.ones(1, 7, dtype=torch.bool))



def made(picture, **start):
    """A video's latents, of three frames."""
    return ltx._unpack_latents(ltx(image=picture, **start, **options, **masks).frames, 3, 2, 2)


noise = torch.randn(1, 8, 3, 2, 2)
given = [made(picture, latents=ltx._pack_latents(noise)) for picture in pictures]
print("LTX with latents: two pictures give equal videos:", torch.equal(*given))
stayed, *moved = [float(change.abs().max()) for change in (given[0] - noise).unbind(2)]
print(f"  the first latent frame moves from the noise by {stayed}, the others by", [round(change, 2) for change in moved])
assert torch.equal(*given) and stayed == 0 and min(moved) > 0.1


def seeded():
    return torch.Generator().manual_seed(1)


drawn = [made(picture, generator=seeded()) for picture in pictures]
changes = [float(change.abs().max()) for change in (drawn[0] - drawn[1]).unbind(2)]
print("LTX with a generator: each latent frame of the two differs by", [round(change, 3) for change in changes])
assert min(changes) > 0.01

# The noise that the generator draws, with the picture written over its first frame by hand.
generator = seeded()
with torch.no_grad():
    encoded = vae.encode(ltx.video_processor.preprocess(pictures[1], 64, 64)[:, :, None])
clean = encoded.latent_dist.sample(generator)
tokens = torch.randn(1, 8, 3, 2, 2, generator=generator)
tokens[:, :, :1] = ltx._normalize_latents(clean, vae.latents_mean, vae.latents_std)
by_hand = made(pictures[1], latents=ltx._pack_latents(tokens))
print("  by hand, from the one with a generator:", f"{float((by_hand - drawn[1]).abs().max()):.1e}")
assert torch.allclose(by_hand, drawn[1], atol=1e-4)

noise = torch.randn(1, 4, 5, 8, 8)
others = [wan(image=picture, latents=noise.clone(), **options).frames for picture in pictures]
change = float((others[0] - others[1]).abs().max())
print(f"Wan with latents: two pictures give videos that differ by {change:.3f}")
assert change > 0.01
print("as described")
PY
