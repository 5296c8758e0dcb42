#!/usr/bin/env bash
# lycoris-lora 4.1.3 with torch 2.13.0: algo="dylora", adapters that are trained at several ranks at once
#
# A DyLoRA is trained at a rank drawn for each step, so that it can be cut to any of them afterwards; to use it all of its
# ranks are taken. Here the rank is drawn in every forward of every layer, in eval() and under no_grad() too, by Python's own
# random, which torch.manual_seed does not reach: two calls with the same input give different numbers, each step of a sampler
# has another network, and so has merge_to(), which bakes one draw into the weights. And what is saved is weaker: a forward
# divides alpha by the number of blocks, a network read from the file (a LoRA then) by the rank, which is block_size = 4
# times as many. Seen on a linear layer and on a Conv3d of rank 16: 4 different outputs of one network in eval(). That of all
# ranks is 4 times the change that the file of the linear layer makes; so it is of rank 4, where there is nothing to draw.
# Nothing is raised or logged. (The file of the Conv3d is refused, with an error of shapes.)
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 lycoris-lora==4.1.3 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'PY'
import logging
import random
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


def counted(changes):
    """How many different ones there are, rounding aside."""
    kept = []
    for change in changes:
        if not any(torch.allclose(change, other, atol=1e-6) for other in kept):
            kept.append(change)
    return kept


@torch.no_grad()
def measured(kind, rank):
    make, shape = layers[kind]
    LycorisNetwork.apply_preset(
        {"enable_conv": True, "target_module": [type(make()).__name__], "target_name": ["layer"]}
    )
    given = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    block = Block(make)
    plain = block(given)
    adapter = create_lycoris(
        block, 1.0, linear_dim=rank, linear_alpha=4, conv_dim=rank, conv_alpha=4, algo="dylora"
    )
    assert len(adapter.loras) == 1
    adapter.apply_to()
    adapter.eval()
    generator = torch.Generator().manual_seed(2)
    for value in adapter.parameters():
        value += 0.1 * torch.randn(value.shape, generator=generator)
    module = adapter.loras[0]
    saved = {name: value.clone() for name, value in adapter.state_dict().items()}
    whole = module.get_diff_weight(rank=rank - module.block_size)[0]
    assert not module.training
    random.seed(0)
    calls = []
    for _ in range(40):
        torch.manual_seed(0)
        calls.append(block(given) - plain)
    full = counted(calls)

    merged = []
    for _ in range(20):
        fresh = Block(make)
        one = create_lycoris(fresh, 1.0, linear_dim=rank, linear_alpha=4, conv_dim=rank, conv_alpha=4, algo="dylora")
        for mine, theirs in zip(one.loras[0].parameters(), module.parameters(), strict=True):
            mine.copy_(theirs)
        one.merge_to()
        merged.append(fresh(given) - plain)

    if kind != "linear":
        return len(full), len(counted(merged)), None, module.block_size
    fresh = Block(make)
    again = create_lycoris_from_weights(1.0, "", fresh, weights_sd=saved)[0]
    again.apply_to()
    change = fresh(given) - plain
    fresh = Block(make)
    fresh.layer.weight += whole
    all_ranks = fresh(given) - plain
    factor = float((all_ranks * change).sum() / change.square().sum())
    rest = float((all_ranks - factor * change).norm() / all_ranks.norm())
    assert rest < 1e-3 and any(torch.allclose(one, all_ranks, atol=1e-5) for one in full)
    assert not any(torch.allclose(one, change, atol=1e-4) for one in full)
    return len(full), len(counted(merged)), factor, module.block_size


for kind in layers:
    for rank in (16, 4):
        calls, merged, factor, size = measured(kind, rank)
        print(f"{kind} of rank {rank}: {calls} different outputs in 40 calls in eval(), {merged} networks in 20 merges")
        assert calls == merged == rank // size and size == 4
        if kind == "linear":
            print(f"  all ranks change {factor:.3f} times as much as what was saved")
            assert abs(factor - size) < 1e-3
assert not Heard.said, Heard.said
print("as described")
PY
