#!/usr/bin/env bash
# diffusers 0.42.1 with peft 0.21.2: attention_kwargs={"scale": 0.0} on a video pipeline whose LoRAs have weights of their own
#
# attention_kwargs={"scale": s} multiplies the LoRAs for one call and takes that back afterwards. With 0 it is the handy way
# to make the same video without them, or to leave them out of some steps. There is no dividing by 0, so what is written
# back after such a call is not what there was: the weight of each active adapter becomes 1. Seen with two LoRAs on Wan at
# 0.5 and -0.25: a video is made, then one with scale 0, then the first again, and that one is another, the one of weights 1
# and 1. get_list_adapters() and get_active_adapters() are as before. Scales of 0.5, 2 and -1 leave the weights as they were,
# and a tiny scale of 1e-6 does what 0 should. disable_lora() and enable_lora() keep them, too. A call that ends in an error
# does it as well. Nothing is raised or logged.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 diffusers==0.42.1 peft==0.21.2 transformers==5.24.0 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'PY'
import warnings

import torch
from diffusers import UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel
from peft import LoraConfig

warnings.simplefilter("ignore")
WEIGHTS = {"subject": 0.5, "motion": -0.25}
torch.manual_seed(0)
transformer = WanTransformer3DModel(
    patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=4, text_dim=16,
    freq_dim=16, ffn_dim=32, num_layers=2, rope_max_seq_len=32,
)  # fmt: skip
pipe = WanPipeline(
    tokenizer=None, text_encoder=None, vae=None, transformer=transformer,
    scheduler=UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0),
)  # fmt: skip
pipe.set_progress_bar_config(disable=True)
words, noise = torch.randn(2, 1, 7, 16), torch.randn(1, 4, 3, 8, 8)


def video(scale=None):
    """Latents of four steps from the same noise and words."""
    return pipe(
        prompt_embeds=words[0], negative_prompt_embeds=words[1], latents=noise.clone(), height=64, width=64, num_frames=9,
        num_inference_steps=4, output_type="latent", attention_kwargs=None if scale is None else {"scale": scale},
    ).frames  # fmt: skip


def weights():
    """Of each adapter in all layers; there has to be one weight for each."""
    found = {name: set() for name in WEIGHTS}
    for module in transformer.modules():
        if hasattr(module, "scaling") and "subject" in module.scaling:
            for name in WEIGHTS:
                found[name].add(round(module.scaling[name], 6))
    assert all(len(values) == 1 for values in found.values()), found
    return {name: values.pop() for name, values in found.items()}


bare = video()
for name in WEIGHTS:
    transformer.add_adapter(LoraConfig(r=4, lora_alpha=4, target_modules=["to_q", "to_v"], init_lora_weights=False), name)


def set_weights():
    pipe.set_adapters(list(WEIGHTS), list(WEIGHTS.values()))
    assert weights() == WEIGHTS


pipe.set_adapters(list(WEIGHTS), [1.0, 1.0])
ones = video()
set_weights()
first, listed = video(), (pipe.get_list_adapters(), pipe.get_active_adapters())
size = float((first - bare).norm())
assert size > 1e-3
for scale in (0.5, 2.0, -1.0, 1e-6, 0.0):
    set_weights()
    made = video(scale)
    after, again = weights(), video()
    off = float((again - first).norm()) / size
    print(f"after scale {scale}: weights {after}, the first video again is {off:.4f} of the LoRAs' effect away")
    assert (pipe.get_list_adapters(), pipe.get_active_adapters()) == listed
    if abs(scale) < 1e-3:
        assert float((made - bare).norm()) < 1e-3 * size
    if scale:
        assert off < 1e-3 and after == WEIGHTS
    else:
        assert off > 0.3 and after == dict.fromkeys(WEIGHTS, 1.0) and torch.equal(again, ones)

set_weights()
pipe.disable_lora()
assert float((video() - bare).norm()) < 1e-4 * size
pipe.enable_lora()
assert weights() == WEIGHTS and torch.equal(video(), first)

set_weights()
try:
    transformer(noise[:, :3], timestep=torch.tensor([500]), encoder_hidden_states=words[0], attention_kwargs={"scale": 0.0})
except RuntimeError:
    print("after an error:", weights())
assert weights() == dict.fromkeys(WEIGHTS, 1.0)
print("as described")
PY
