#!/usr/bin/env bash
# diffusers 0.42.1: negative_prompt_embeds returned by callback_on_step_end, on LTX-Video, Mochi, CogVideoX and Wan
#
# A callback may take and return latents, prompt_embeds and negative_prompt_embeds; a pipeline lists in
# _callback_tensor_inputs which it has, and raises an error for others. Changing the negative prompt along the way (a strong
# one at first, none at the end) is done by returning other negative_prompt_embeds. Wan does as it is told. LTX-Video, Mochi
# and CogVideoX list it too, hand the right tensor to the callback, and never read what is returned: the negative half was
# joined to the prompt's before the loop. Seen on random networks: returning zeros or noise as negative_prompt_embeds after
# the first step leaves the video bit for bit as it is; on Wan it changes. And prompt_embeds, which is the prompt alone in
# Wan, is of twice the batch in the three: the negative one first. So a callback that multiplies "prompt_embeds" to change
# the weight of the prompt changes the negative prompt with it. Nothing is raised or logged.
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
    AutoencoderKLCogVideoX, AutoencoderKLLTXVideo, AutoencoderKLWan, CogVideoXDDIMScheduler, CogVideoXPipeline,
    CogVideoXTransformer3DModel, FlowMatchEulerDiscreteScheduler, LTXPipeline, LTXVideoTransformer3DModel,
    MochiPipeline, MochiTransformer3DModel, UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel,
)  # fmt: skip


class Heard(logging.Handler):
    said = []

    def emit(self, record):
        self.said.append(record.getMessage())


logging.getLogger("diffusers").addHandler(Heard())
torch.manual_seed(0)
nothing = dict(tokenizer=None, text_encoder=None)
ltx = LTXPipeline(
    vae=AutoencoderKLLTXVideo(
        latent_channels=8, block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4, layers_per_block=(1,) * 5,
        decoder_layers_per_block=(1,) * 5,
    ),
    transformer=LTXVideoTransformer3DModel(
        in_channels=8, out_channels=8, num_attention_heads=2, attention_head_dim=16, cross_attention_dim=32, num_layers=2,
        caption_channels=16,
    ).eval(),
    scheduler=FlowMatchEulerDiscreteScheduler(), **nothing,
)  # fmt: skip
mochi = MochiPipeline(
    vae=None,
    transformer=MochiTransformer3DModel(
        patch_size=2, num_attention_heads=2, attention_head_dim=8, num_layers=2, pooled_projection_dim=16, in_channels=12,
        out_channels=None, text_embed_dim=16, time_embed_dim=4, max_sequence_length=7,
    ).eval(),
    scheduler=FlowMatchEulerDiscreteScheduler(), **nothing,
)  # fmt: skip
cog = CogVideoXPipeline(
    vae=AutoencoderKLCogVideoX(
        down_block_types=("CogVideoXDownBlock3D",) * 4, up_block_types=("CogVideoXUpBlock3D",) * 4, block_out_channels=(8,) * 4,
        latent_channels=4, layers_per_block=1, norm_num_groups=2, temporal_compression_ratio=4,
    ),
    transformer=CogVideoXTransformer3DModel(
        num_attention_heads=2, attention_head_dim=8, in_channels=4, out_channels=4, time_embed_dim=2, text_embed_dim=16,
        num_layers=1, sample_width=8, sample_height=8, sample_frames=9, patch_size=2, temporal_compression_ratio=4,
        max_text_seq_length=7,
    ).eval(),
    scheduler=CogVideoXDDIMScheduler(snr_shift_scale=1.0), **nothing,
)  # fmt: skip
wan = WanPipeline(
    vae=AutoencoderKLWan(
        base_dim=8, z_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1, latents_mean=[0.0] * 4, latents_std=[1.0] * 4
    ),
    transformer=WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=4, text_dim=16,
        freq_dim=16, ffn_dim=32, num_layers=2, rope_max_seq_len=32, cross_attn_norm=True,
    ).eval(),
    scheduler=UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0), **nothing,
)  # fmt: skip
words, negative = torch.randn(2, 1, 7, 16)
masks = {name: torch.ones(1, 7, dtype=torch.bool) for name in ("prompt_attention_mask", "negative_prompt_attention_mask")}


def made(pipe, negative=negative, change=None):
    """A video's latents; change takes and returns what the callback is given."""
    pipe.set_progress_bar_config(disable=True)
    names = ["latents", "prompt_embeds", "negative_prompt_embeds"]
    assert pipe._callback_tensor_inputs[:3] == names
    return pipe(
        prompt_embeds=words, negative_prompt_embeds=negative, generator=torch.Generator().manual_seed(0), width=64, height=64,
        num_frames=9, num_inference_steps=4, guidance_scale=5.0, output_type="latent",
        callback_on_step_end_tensor_inputs=names,
        callback_on_step_end=lambda pipe, step, time, tensors: change(dict(tensors)) if change else {},
        **(masks if pipe in (ltx, mochi) else {}),
    ).frames  # fmt: skip


def apart(one, other):
    return float((one - other).norm() / other.norm())


for pipe in (wan, ltx, mochi, cog):
    seen = {}

    def look(tensors, seen=seen):
        seen.update(tensors)
        return {}

    plain = made(pipe, change=look)
    assert torch.equal(seen["negative_prompt_embeds"], negative)
    joined = len(seen["prompt_embeds"]) == 2
    whole = apart(made(pipe, negative=torch.zeros_like(negative)), plain)
    returned = [
        apart(made(pipe, change=lambda tensors, new=new: {"negative_prompt_embeds": new}), plain)
        for new in (torch.zeros_like(negative), 3 * torch.randn_like(negative))
    ]
    print(
        f"{type(pipe).__name__}: prompt_embeds of the callback have {len(seen['prompt_embeds'])} rows; the video changes by "
        f"{whole:.4f} with another negative prompt, by {returned[0]:.4f} and {returned[1]:.4f} with one that was returned"
    )
    assert whole > 1e-3
    assert (joined and returned == [0, 0]) if pipe is not wan else (not joined and min(returned) > 1e-3)
    if joined:
        assert torch.equal(seen["prompt_embeds"], torch.cat([negative, words]))
        halves = apart(
            made(pipe, change=lambda tensors: {"prompt_embeds": torch.cat([torch.zeros_like(negative), words])}), plain
        )
        print(f"  and by {halves:.4f} with the first row of prompt_embeds set to zero")
        assert halves > 1e-3
assert not [text for text in Heard.said if "negative" in text or "callback" in text]
print("as described")
PY
