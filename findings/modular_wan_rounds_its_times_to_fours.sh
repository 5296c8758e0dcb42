#!/usr/bin/env bash
# diffusers 0.42.1: the modular blocks of Wan in bfloat16, beside WanPipeline
#
# The modular pipelines take the same networks and schedulers, and one would expect the same sampling. WanPipeline hands the
# scheduler's times to the network as they are (integers of 0 to 999), whatever its dtype, since its time embedding is kept in
# float32 on purpose (_keep_in_fp32_modules). The modular blocks cast them to the dtype of the prompt's embeddings first.
# bfloat16 has 8 bits for a number: above 512 it holds multiples of 4 alone, above 256 of 2. Seen with 50 steps and a shift of
# 8: 999, 997, 994 and 992 come as 1000, 996, 992 and 992, so two steps are made at one time, 40 of 50 times are not the
# scheduler's. The fastest of the embedding's sines are turned by up to 2 radians: they, in float32 as they are, are off by a
# quarter of their length on average. The scheduler itself goes on by its own times, and a distilled network is asked for
# times that it was not trained on. In float32 and float16 both pipelines are given the same ones. Nothing is raised or logged.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 diffusers==0.42.1 transformers==5.24.0 accelerate==1.15.0 pillow==12.1.0 numpy==2.2.6
OMP_NUM_THREADS=1 FOLDER="$work" "$work/venv/bin/python" - <<'PY'
import logging
import os
from pathlib import Path

import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel
from diffusers.guiders import ClassifierFreeGuidance
from diffusers.modular_pipelines.wan.modular_blocks_wan import WanCoreDenoiseStep


class Heard(logging.Handler):
    said = []

    def emit(self, record):
        self.said.append(record.getMessage())


logging.getLogger("diffusers").addHandler(Heard())
torch.set_grad_enabled(False)
torch.manual_seed(0)
path = Path(os.environ["FOLDER"]) / "network"
WanTransformer3DModel(
    num_attention_heads=2, attention_head_dim=12, in_channels=16, out_channels=16, text_dim=32, freq_dim=256, ffn_dim=32,
    num_layers=2, rope_max_seq_len=32,
).save_pretrained(path)  # fmt: skip
vae = AutoencoderKLWan(
    base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
)
STEPS = 50


def noise(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def sampled(kind, dtype):
    """The times that the network is given, and the sines that it makes of them."""
    network = WanTransformer3DModel.from_pretrained(path, torch_dtype=dtype).eval()
    assert next(network.condition_embedder.time_embedder.parameters()).dtype == torch.float32
    times, sines = [], []
    network.register_forward_pre_hook(lambda _, args, named: times.append(float(named["timestep"][0])), with_kwargs=True)
    network.condition_embedder.timesteps_proj.register_forward_hook(lambda _, args, output: sines.append(output.float()))
    scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=8.0)
    common = dict(
        prompt_embeds=noise(0, 1, 8, 32).to(dtype), negative_prompt_embeds=noise(1, 1, 8, 32).to(dtype), height=64, width=64,
        num_frames=5, latents=noise(2, 1, 16, 2, 8, 8), num_inference_steps=STEPS,
    )  # fmt: skip
    if kind == "modular":
        pipe = WanCoreDenoiseStep().init_pipeline()
        guider = ClassifierFreeGuidance(guidance_scale=4.0)
        pipe.update_components(transformer=network, scheduler=scheduler, guider=guider)
        pipe(**common, output="latents")
    else:
        pipe = WanPipeline(tokenizer=None, text_encoder=None, vae=vae, scheduler=scheduler, transformer=network)
        pipe.set_progress_bar_config(disable=True)
        pipe(**common, guidance_scale=4.0, output_type="latent")
    assert len(times) == len(sines) == 2 * STEPS and times[::2] == times[1::2]
    return times[::2], torch.cat(sines[::2]), scheduler.timesteps.tolist()


for dtype in (torch.float32, torch.float16, torch.bfloat16):
    plain, sines, asked = sampled("plain", dtype)
    modular, other, same = sampled("modular", dtype)
    assert plain == asked == same
    wrong = [(old, new) for old, new in zip(plain, modular, strict=True) if old != new]
    off = float(((other - sines).norm(dim=1) / sines.norm(dim=1)).mean())
    print(f"{dtype}: WanPipeline {[int(time) for time in plain[:8]]}, {len(set(plain))} different times")
    print(f"  modular {[int(time) for time in modular[:8]]}, {len(set(modular))} different times, {len(wrong)} not the scheduler's, sines off by {off:.3f}")
    if dtype != torch.bfloat16:
        assert not wrong and off < 1e-6
        continue
    assert modular == torch.tensor(plain).bfloat16().tolist() and modular[0] == 1000 and max(plain) == 999
    assert len(wrong) > STEPS / 2 and len(set(modular)) < STEPS and off > 0.05
    assert all(time % 4 == 0 for time in modular if time > 512)
assert not [text for text in Heard.said if "time" in text or "float" in text], Heard.said
print("as described")
PY
