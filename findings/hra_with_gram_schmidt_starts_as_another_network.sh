#!/usr/bin/env bash
# peft 0.21.2: HRAConfig(apply_GS=True) on a video transformer (diffusers 0.42.1's Wan), before its first training step
#
# An adapter begins by changing nothing. HRA turns a layer's input by r reflections, and for an even r, which its
# documentation asks for, they are drawn in equal pairs, each of which takes back what the other does. apply_GS is said to
# orthogonalise the reflections' vectors; of two equal vectors the second is then zero but for rounding, and it is divided
# by its length. Seen, with layers of 32 to 256 inputs and r = 8 as by default: what remains of the second vector is another
# direction, made of the rounding of the first, so that a fresh adapter is 90 % of its layer's output away from the layer; a
# Wan transformer with it in its attention puts out half of its output away (another network by as much as 83 %). Gradients
# of the first step are ten million times those without apply_GS. In layers of fewer than 96 inputs the remainder is now and
# then zero exactly (in 7 of 60 of 48), and all is NaN. Nothing is raised, warned or logged; the loss at the start is high,
# as with too large a learning rate. Without apply_GS the outputs are equal to rounding.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 diffusers==0.42.1 peft==0.21.2 transformers==5.24.0 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'PY'
import re
import warnings

import torch
from diffusers import WanTransformer3DModel
from peft import HRAConfig, get_peft_model

warnings.simplefilter("error")
assert HRAConfig().r == 8 and HRAConfig().init_weights is True


def away(found, wanted):
    return float((found - wanted).norm() / wanted.norm())


def start(size, seed, **options):
    """How far a layer's output is from what it was, and the length of the gradient of its adapter."""
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(size, size))
    data, goal = torch.randn(2, 16, size)
    before = model(data).detach()
    adapted = get_peft_model(model, HRAConfig(target_modules=["0"], **options))
    after = adapted(data)
    (after - goal).square().mean().backward()
    (gradient,) = (weight.grad for weight in adapted.parameters() if weight.requires_grad)
    return away(after.detach(), before), float(gradient.norm())


sizes = (32, 64, 256)
plain = [start(size, seed) for size in sizes for seed in range(40)]
orthogonal = [start(size, seed, apply_GS=True) for size in sizes for seed in range(40)]
broken = sum(change != change for change, _ in orthogonal)
orthogonal = [pair for pair in orthogonal if pair[0] == pair[0]]
changes, gradients = (torch.tensor(values) for values in zip(*orthogonal, strict=True))
factor = gradients.median() / torch.tensor([gradient for _, gradient in plain]).median()
print(f"plain: at most {max(change for change, _ in plain):.1e} away")
print(f"apply_GS: {changes.min():.2f} to {changes.max():.2f}, mean {changes.mean():.2f}; gradients times {factor:.0e}")
print("NaN:", broken, "of", 3 * 40)
assert max(change for change, _ in plain) < 1e-5
assert changes.min() > 0.2 and changes.mean() > 0.7
assert factor > 1e4


def transformer():
    torch.manual_seed(0)
    network = WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=48, in_channels=4, out_channels=4, text_dim=16,
        freq_dim=16, ffn_dim=192, num_layers=4, rope_max_seq_len=32,
    ).eval()  # fmt: skip
    for name, weight in network.named_parameters():
        if weight.ndim == 2 and LAYERS.fullmatch(name):
            torch.nn.init.normal_(weight, std=96**-0.5)
    return network


LAYERS = re.compile(r"blocks\.\d\.(attn[12]\.(to_q|to_k|to_v|to_out\.0)|ffn.*)\.weight")
torch.manual_seed(1)
noise, words, time = torch.randn(1, 4, 3, 8, 8), torch.randn(1, 6, 16), torch.tensor([500.0])
with torch.no_grad():
    network = transformer()
    before = network(noise, time, words).sample
    drawn_anew = transformer()
    for name, weight in drawn_anew.named_parameters():
        if LAYERS.fullmatch(name):
            torch.nn.init.normal_(weight, std=96**-0.5)
    other = away(drawn_anew(noise, time, words).sample, before)
    for orthogonal in (False, True):
        config = HRAConfig(target_modules=["to_q", "to_k", "to_v", "to_out.0"], apply_GS=orthogonal)
        changes = []
        for seed in range(10):
            network = transformer()
            torch.manual_seed(seed)
            changes.append(away(get_peft_model(network, config).eval()(noise, time, words).sample, before))
        finite = [change for change in changes if change == change]
        print(f"Wan, apply_GS={orthogonal}: away by", [f"{change:.1e}" for change in changes], f"others by {other:.2f}")
        if orthogonal:
            assert min(finite, default=other) > 0.3 * other, finite
        else:
            assert len(finite) == 10 and max(finite) < 1e-5, changes
print("as described")
PY
