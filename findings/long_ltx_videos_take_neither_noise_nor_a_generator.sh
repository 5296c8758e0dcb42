#!/usr/bin/env bash
# diffusers 0.42.1: LTXI2VLongMultiPromptPipeline(generator=..., latents=...)
#
# generator is documented as what "controls stochasticity", latents as "initial latents; if None, sampled with randn_tensor", and
# in LTXPipeline a generator with another seed makes another video. Here a third argument, seed, has a default of 0
# and wins: each window makes a generator of its own from seed and its place. So a generator given without seed=None is of no
# use: all seeds give one video, bit for bit, that of a call without any, and a batch of candidates by seed is one candidate.
# The latents have no part in it either: none are sampled, zeros stand in for them, and what is given is multiplied by a mask that
# is 0 wherever there is no picture or tail of an earlier window to keep. Given noise, that noise times 100 or nothing give the
# same video, with seed=None too. Only seed changes it, or a generator with seed=None. Nothing is raised or logged.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 diffusers==0.42.1 transformers==5.24.0 tokenizers==0.23.3 accelerate==1.15.0 pillow==12.1.0 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'PY'
import logging

import torch
from diffusers import (
    AutoencoderKLLTXVideo,
    FlowMatchEulerDiscreteScheduler,
    LTXEulerAncestralRFScheduler,
    LTXI2VLongMultiPromptPipeline,
    LTXPipeline,
    LTXVideoTransformer3DModel,
)
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel


class Heard(logging.Handler):
    said = []

    def emit(self, record):
        self.said.append(record.getMessage())


logging.getLogger("diffusers").addHandler(Heard())
torch.set_grad_enabled(False)
torch.manual_seed(0)
words = Tokenizer(models.WordLevel({"<pad>": 0, "</s>": 1, "a": 2, "dog": 3, "runs": 4}, unk_token="<pad>"))
words.pre_tokenizer = pre_tokenizers.Whitespace()
parts = dict(
    scheduler=LTXEulerAncestralRFScheduler(),
    vae=AutoencoderKLLTXVideo(
        latent_channels=8, block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4, layers_per_block=(1,) * 5,
        decoder_layers_per_block=(1,) * 5,
    ).eval(),
    text_encoder=T5EncoderModel(
        T5Config(vocab_size=8, d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=4)
    ).eval(),
    tokenizer=PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="</s>"),
    transformer=LTXVideoTransformer3DModel(
        in_channels=8, out_channels=8, num_attention_heads=4, attention_head_dim=8, cross_attention_dim=32, num_layers=1,
        caption_channels=32,
    ).eval(),
)  # fmt: skip
common = dict(
    prompt="a dog runs", height=64, width=64, num_frames=33, num_inference_steps=4, output_type="latent",
    max_sequence_length=8, guidance_scale=1.0,
)  # fmt: skip
long = LTXI2VLongMultiPromptPipeline(**parts)
plain = LTXPipeline(**{**parts, "scheduler": FlowMatchEulerDiscreteScheduler()})
windows = dict(temporal_tile_size=24, temporal_overlap=8)
for pipe in (long, plain):
    pipe.set_progress_bar_config(disable=True)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def video(**more):
    return long(**common, **windows, **more).frames


def apart(one, other):
    return float((one - other).norm() / other.norm())


of_plain = [plain(**common, generator=generator(seed)).frames for seed in (1, 2)]
print(f"LTXPipeline, generators of seeds 1 and 2: {apart(*of_plain):.3f} apart")
assert apart(*of_plain) > 0.1
base = video()
print("a video of", tuple(base.shape), "latents")
for seed in range(1, 5):
    assert torch.equal(video(generator=generator(seed)), base)
print("generators of seeds 1 to 4: the video of no generator")
noise = torch.randn(base.shape, generator=generator(9))
assert torch.equal(video(latents=noise.clone()), base) and torch.equal(video(latents=100 * noise), base)
print("latents of noise, and that times 100: the video of no latents")
free = [video(seed=None, generator=generator(seed)) for seed in (1, 2)]
held = video(seed=None, generator=generator(1), latents=noise.clone())
print(f"seed=1 from seed=0: {apart(video(seed=1), base):.3f}; seed=None with generators 1 and 2: {apart(*free):.3f}, with latents too: {apart(held, free[0]):.3f}")
assert apart(video(seed=1), base) > 0.1 and apart(*free) > 0.1 and torch.equal(held, free[0])
assert not [text for text in Heard.said if "seed" in text or "generator" in text or "latents" in text], Heard.said
print("as described")
PY
