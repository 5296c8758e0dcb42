#!/usr/bin/env bash
# diffusers 0.42.1: TaylorSeerCacheConfig() on Wan, CogVideoX, LTX-Video and HunyuanVideo transformers
#
# enable_cache(TaylorSeerCacheConfig()) returns without a word on all of them, and is_cache_enabled is True afterwards.
# The modules to cache are found by patterns on names that must end in "attn". HunyuanVideo's (and Flux's) layers are
# called so; Wan's, CogVideoX's and LTX-Video's are called attn1 and attn2. Seen: no module is hooked on these three, every
# layer is computed at every step, and outputs are bit-equal to those without a cache: the speed-up is nil, silently.
# With use_lite_mode=True the blocks of all four are hooked. Count the hooked modules after enabling.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 diffusers==0.42.1 numpy==2.2.6
"$work/venv/bin/python" - <<'PY'
import torch
from diffusers import (
    CogVideoXTransformer3DModel,
    HunyuanVideoTransformer3DModel,
    LTXVideoTransformer3DModel,
    TaylorSeerCacheConfig,
    WanTransformer3DModel,
)

SMALL = {
    WanTransformer3DModel: dict(
        patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=4, text_dim=8,
        freq_dim=16, ffn_dim=32, num_layers=3, rope_max_seq_len=32,
    ),
    CogVideoXTransformer3DModel: dict(
        num_attention_heads=2, attention_head_dim=16, in_channels=4, out_channels=4, time_embed_dim=8, text_embed_dim=8,
        num_layers=3, sample_width=8, sample_height=8, sample_frames=5, max_text_seq_length=8,
    ),
    LTXVideoTransformer3DModel: dict(
        in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=16, cross_attention_dim=32,
        num_layers=3, caption_channels=8,
    ),
    HunyuanVideoTransformer3DModel: dict(
        in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=10, num_layers=2, num_single_layers=2,
        num_refiner_layers=1, patch_size=2, patch_size_t=1, text_embed_dim=8, pooled_projection_dim=8,
        rope_axes_dim=(2, 4, 4),
    ),
}


def hooked(kind, **options):
    network = kind(**SMALL[kind])
    network.enable_cache(TaylorSeerCacheConfig(**options))
    assert network.is_cache_enabled
    return [n for n, m in network.named_modules() if n and getattr(m, "_diffusers_hook", None) and m._diffusers_hook.hooks]


for kind in SMALL:
    plain, lite = len(hooked(kind)), len(hooked(kind, use_lite_mode=True))
    print(kind.__name__, "modules hooked:", plain, "lite:", lite)
    assert (plain > 0) == (kind is HunyuanVideoTransformer3DModel) and lite > 0, (kind, plain, lite)

torch.manual_seed(0)
network = WanTransformer3DModel(**SMALL[WanTransformer3DModel]).eval()
inputs = dict(hidden_states=torch.randn(1, 4, 2, 8, 8), encoder_hidden_states=torch.randn(1, 5, 8))
times = [torch.tensor([900.0 - 90 * step]) for step in range(10)]


@torch.no_grad()
def outputs():
    return torch.stack([network(timestep=t, return_dict=False, **inputs)[0] for t in times])


before = outputs()
network.enable_cache(TaylorSeerCacheConfig())
with network.cache_context("sampling"):
    after = outputs()
assert torch.equal(before, after)
print("as described")
PY
