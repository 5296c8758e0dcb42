#!/usr/bin/env bash
# diffusers 0.42.1: MagCacheConfig(num_inference_steps=N) where the sampler asks the network more than N times
#
# MagCache's only count is that of the network's calls. A sampler that asks twice a step (Heun, or guidance by two calls
# under one cache context) makes 2N - 1 or 2N calls in N steps. After N of them the cache forgets what it holds and begins
# again: it uses the ratios of the first steps for the second half of the video, computes a "first fifth" once more, and in
# calibration mode prints the ratios of the first half as those of the whole, then throws them away. Nothing is said.
# Seen with 10 steps of two calls: blocks computed at calls 0, 1 and 10, 11 alike, two lists printed for one video, and the
# same blocks are left out at call 12 as at call 2, whatever the ratios of those calls are.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 diffusers==0.42.1 numpy==2.2.6
"$work/venv/bin/python" - <<'PY'
import contextlib
import io

import torch
from diffusers import MagCacheConfig, WanTransformer3DModel

STEPS, CALLS = 10, 20
torch.manual_seed(0)
network = WanTransformer3DModel(
    num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=4, text_dim=8, freq_dim=8,
    ffn_dim=16, num_layers=3,
).eval()
video, words = torch.randn(1, 4, 1, 8, 8), torch.randn(1, 4, 8)


@torch.no_grad()
def computed(config):
    """Of each call, whether the middle block was computed; and what was printed."""
    network.enable_cache(config)
    seen, told = [], io.StringIO()
    handle = network.blocks[1].attn1.to_q.register_forward_hook(lambda *_: seen.append(call))
    with contextlib.redirect_stdout(told), network.cache_context("video"):
        for call in range(CALLS):
            network(video, torch.tensor([900.0 - 40 * call]), words)
    handle.remove()
    network.disable_cache()
    return [call in seen for call in range(CALLS)], told.getvalue()


_, told = computed(MagCacheConfig(calibrate=True, num_inference_steps=STEPS))
lists = told.count("Calibration Complete")
print("lists of ratios printed for one video:", lists)
ratios = [1.0] * STEPS
halves, _ = computed(MagCacheConfig(mag_ratios=ratios, num_inference_steps=STEPS, threshold=0.5))
whole, _ = computed(MagCacheConfig(mag_ratios=ratios * 2, num_inference_steps=CALLS, threshold=0.5))
print("steps given:", "".join("x." [not one] for one in halves))
print("calls given:", "".join("x." [not one] for one in whole))
assert lists == 2
assert halves[:STEPS] == halves[STEPS:], "the second half is the first one again"
assert whole[:STEPS] != whole[STEPS:]
assert halves[10] and halves[11]
PY
