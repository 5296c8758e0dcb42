#!/usr/bin/env bash
# diffusers 0.42.1: AnimateDiffPipeline.enable_free_noise() on a video that its windows do not fill
#
# FreeNoise runs the motion modules over windows of 16 frames, 4 apart, and takes a weighted mean where windows overlap: the
# sum of values times weights over the sum of weights. So a block that changes nothing should give back what it is given, for
# any number of frames and any weights. Where the last window does not end at the last frame, one more window is laid at
# the end, and only the L frames that no other window reached are taken from it. Their values are multiplied by the last L
# weights (... 3, 2, 1), but all are divided by the first of these. Seen with the default pyramid and with the sawtooth, for a
# block of which all branches are zero: of 18 frames the last comes out at 1/2; of 19 the last two at 2/3 and 1/3; windows
# 8 apart leave 22 frames with 1, 5/6, 4/6, 3/6, 2/6, 1/6. Half of all lengths are hit with the default distance. Weights of
# "flat", and lengths that fit (16, 20, 24) or are one over, come out whole. Nothing is raised or logged; the motion
# modules' part of the last frames shrinks at every layer and step, so that a video seems to fall apart at its end.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 diffusers==0.42.1 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'PY'
import torch
from diffusers.models.attention import FreeNoiseTransformerBlock

torch.manual_seed(0)
block = FreeNoiseTransformerBlock(
    dim=8, num_attention_heads=2, attention_head_dim=4, double_self_attention=True,
    positional_embeddings="sinusoidal", num_positional_embeddings=32,
)  # fmt: skip
for branch in (block.attn1.to_out[0], block.attn2.to_out[0], block.ff.net[-1]):
    torch.nn.init.zeros_(branch.weight)
    torch.nn.init.zeros_(branch.bias)


def kept(frames, scheme, stride=4):
    """By frame, what is left of the values that a block without effect is given."""
    block.set_free_noise_properties(16, stride, scheme)
    given = torch.randn(3, frames, 8)
    with torch.no_grad():
        shares = block(given) / given
    assert torch.allclose(shares, shares[:1, :, :1].expand_as(shares), atol=1e-4)
    return shares[0, :, 0]


for scheme in ("flat", "pyramid", "delayed_reverse_sawtooth"):
    for frames in (16, 17, 18, 19, 20, 24, 30):
        shares = kept(frames, scheme)
        print(f"{scheme:>24} {frames} frames, the last four:", [round(share, 3) for share in shares[-4:].tolist()])
        over = (frames - 16) % 4
        expected = torch.ones(frames)
        if scheme != "flat" and over:
            expected[-over:] = torch.arange(over, 0, -1) / over
        assert torch.allclose(shares, expected, atol=1e-4), (scheme, frames, shares)
        assert bool((expected < 1).any()) == (scheme != "flat" and over > 1)

shares = kept(22, "pyramid", stride=8)
print("windows 8 apart, 22 frames, the last six:", [round(share, 3) for share in shares[-6:].tolist()])
assert torch.allclose(shares[-6:], torch.arange(6, 0, -1) / 6, atol=1e-4)
print("as described")
PY
