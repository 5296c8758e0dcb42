#!/usr/bin/env bash
# lycoris-lora 4.1.3 with torch 2.13.0: merge_to() of LoHas and LoKrs, for linear layers and convolutions of videos
#
# An adapter's weights are multiplied by alpha / rank, and merging it should leave a network that gives what the adapted one
# gives. For LoRA it does. get_weight() of LoHa and LoKr multiplies by alpha / rank, and get_diff_weight(), which merging
# takes, multiplies what it returns by alpha / rank again. Seen on a linear layer and on a Conv3d: of rank 4 with alpha 1, 2
# and 8 the merged change is 1/4, 1/2 and 2 times what the adapter made, and nothing else is changed; with alpha 4, which is
# the rank, all is well, and that is what a first trial takes. (So it is for a LoKr whose rank is too large for its layer,
# which is kept whole with a scale of 1.) It is the same for merge_to(0.5) and, for linear layers, merge_to(precise=True).
# The file itself is right: a network that is read from it and applied gives what was trained. alpha=1 with rank 16 loses 15
# of 16 parts of what was trained. Nothing is raised or logged.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 lycoris-lora==4.1.3 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'PY'
import logging
import warnings

import torch
from lycoris import LycorisNetwork, create_lycoris, create_lycoris_from_weights
from torch import nn


class Heard(logging.Handler):
    said = []

    def emit(self, record):
        self.said.append(record.getMessage())


logger = logging.getLogger("LyCORIS")
logger.addHandler(Heard())
logger.setLevel(logging.WARNING)
warnings.simplefilter("error")
RANK = 4
layers = {
    "linear": (lambda: nn.Linear(48, 64), (5, 48)),
    "conv3d": (lambda: nn.Conv3d(32, 48, 3, padding=1), (1, 32, 3, 6, 6)),
}


class Block(nn.Module):
    def __init__(self, make):
        super().__init__()
        torch.manual_seed(0)
        self.layer = make()

    def forward(self, given):
        return self.layer(given)


def ratio(one, other):
    """By how much one change is larger than the other, and how much of it the factor does not explain."""
    factor = float((one * other).sum() / other.square().sum())
    return factor, float((one - factor * other).norm() / one.norm())


@torch.no_grad()
def measured(algo, kind, alpha):
    make, shape = layers[kind]
    LycorisNetwork.apply_preset(
        {"enable_conv": True, "target_module": [type(make()).__name__], "target_name": ["layer"]}
    )
    given = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    settings = dict(linear_dim=RANK, linear_alpha=alpha, conv_dim=RANK, conv_alpha=alpha, algo=algo, factor=4)
    block = Block(make)
    plain = block(given)
    adapter = create_lycoris(block, 1.0, **settings)
    assert len(adapter.loras) == 1
    adapter.apply_to()
    adapter.eval()
    generator = torch.Generator().manual_seed(2)
    for value in adapter.parameters():
        value += 0.1 * torch.randn(value.shape, generator=generator)
    saved = {name: value.clone() for name, value in adapter.state_dict().items()}
    change = block(given) - plain

    def read(multiplier=1.0):
        fresh = Block(make)
        return fresh, create_lycoris_from_weights(multiplier, "", fresh, weights_sd=saved)[0]

    found = {}
    fresh, again = read()
    again.apply_to()
    found["read from a file"] = fresh(given) - plain
    for name, merge in {
        "merged": lambda one: one.merge_to(1.0),
        "merged at 0.5": lambda one: one.merge_to(0.5),
        "merged, precise": lambda one: one.merge_to(1.0, precise=True),
    }.items():
        fresh, again = read()
        if "precise" in name and kind != "linear":
            continue
        merge(again)
        found[name] = fresh(given) - plain
    result = {}
    for name, other in found.items():
        result[name], rest = ratio(other, change)
        assert rest < 1e-3, (name, rest)
    return result


for kind in layers:
    for algo in ("lora", "lokr", "loha"):
        for alpha in (1, 2, 4, 8):
            found = measured(algo, kind, alpha)
            told = ", ".join(f"{name} {factor:.3f}" for name, factor in found.items())
            print(f"{kind:6} {algo} alpha {alpha} rank {RANK}: {told}")
            scale = 1.0 if algo == "lora" else alpha / RANK
            expected = {
                "read from a file": 1.0, "merged": scale, "merged at 0.5": 0.5 * scale, "merged, precise": scale,
            }  # fmt: skip
            assert all(abs(factor - expected[name]) < 1e-3 for name, factor in found.items()), expected
assert not Heard.said, Heard.said
print("as described")
PY
