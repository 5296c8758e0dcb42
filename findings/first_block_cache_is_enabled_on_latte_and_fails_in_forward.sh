#!/usr/bin/env bash
# diffusers 0.42.1: FirstBlockCacheConfig on LatteTransformer3DModel
#
# Latte alternates between blocks over space (rows are frames) and over time (rows are places), and its class has
# enable_cache. The cache takes all lists of blocks in the order of the attributes: its first block is one over space, its
# last is one over time. Seen: enable_cache returns without a word; the first forward, where nothing could be left out yet,
# ends in a RuntimeError about sizes, since the change from first to last block is a difference of tensors of other
# shapes. TaylorSeerCacheConfig(use_lite_mode=True) works on it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 diffusers==0.42.1 numpy==2.2.6
"$work/venv/bin/python" - <<'PY'
import torch
from diffusers import FirstBlockCacheConfig, LatteTransformer3DModel, TaylorSeerCacheConfig

torch.manual_seed(0)
network = LatteTransformer3DModel(
    num_attention_heads=2, attention_head_dim=8, in_channels=4, out_channels=4, num_layers=2, cross_attention_dim=16,
    attention_bias=True, sample_size=8, patch_size=2, activation_fn="gelu-approximate", num_embeds_ada_norm=1000,
    norm_type="ada_norm_single", norm_elementwise_affine=False, caption_channels=8, video_length=3,
).eval()  # fmt: skip
inputs = dict(
    hidden_states=torch.randn(1, 4, 3, 8, 8), timestep=torch.tensor([500]), encoder_hidden_states=torch.randn(1, 5, 8),
    enable_temporal_attentions=True,
)  # fmt: skip


@torch.no_grad()
def run():
    with network.cache_context("only"):
        return network(**inputs).sample


with torch.no_grad():
    plain = network(**inputs).sample
network.enable_cache(TaylorSeerCacheConfig(use_lite_mode=True))
assert torch.equal(run(), plain)
network.disable_cache()
network.enable_cache(FirstBlockCacheConfig(threshold=0.0))
assert network.is_cache_enabled
try:
    run()
except RuntimeError as error:
    print("forward:", error)
    assert "must match the size" in str(error)
else:
    raise SystemExit("it works now")
PY
