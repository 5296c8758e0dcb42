#!/usr/bin/env bash
# bitsandbytes 0.50.2 with torch 2.13.0: float weights loaded into Linear8bitLt(has_fp16_weights=False) again, or late
#
# The documented way to an 8-bit network is to load a float checkpoint into its layers and to move them to their device,
# which makes whole numbers and scales of them. One would think that another checkpoint (an average, a later step, a merged
# LoRA) can be loaded into the same network as it was loaded the first time, or that a network may be moved first and loaded
# then, as is done everywhere. Once a layer is made of whole numbers, the floats are copied into those: all of a size below
# 1 become 0, and the scales stay the old ones. Seen: load_state_dict is strict and says "All keys matched", every weight is
# 0, and the network puts out the bias of its last layer for any input; moving it afterwards changes nothing. Two loads
# before the first use are right: the second counts. For Linear4bit the same call is an error that tells of the shapes.
# Nothing is raised or logged for eight bits, where the shapes agree. A network made anew for each checkpoint, loaded and
# then moved, is within 1 %.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.2.6 packaging==25.0
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps bitsandbytes==0.50.2
OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'PY'
from functools import partial

import bitsandbytes as bnb
import torch

EIGHT = partial(bnb.nn.Linear8bitLt, has_fp16_weights=False)
FOUR = partial(bnb.nn.Linear4bit, quant_type="nf4", compute_dtype=torch.float32)


class Block(torch.nn.Module):
    """A transformer's two layers behind its attention."""

    def __init__(self, linear):
        super().__init__()
        self.up, self.down = linear(128, 256), linear(256, 128)

    def forward(self, x):
        return self.down(torch.nn.functional.gelu(self.up(x)))


torch.manual_seed(0)
early, late = Block(torch.nn.Linear), Block(torch.nn.Linear)
data = torch.randn(16, 128)


def away(block, wanted):
    return float((block(data) - wanted(data)).norm() / wanted(data).norm())


def load(block, source):
    told = block.load_state_dict(source.state_dict(), strict=True)
    assert not told.missing_keys and not told.unexpected_keys
    return block


def silent(block):
    """Whether the block has no weights left but its biases."""
    assert {weight.dtype for weight in (block.up.weight, block.down.weight)} == {torch.int8}
    assert not block.up.weight.any() and not block.down.weight.any()
    return torch.equal(block(data), late.down.bias.expand(16, 128))


with torch.no_grad():
    fresh = load(Block(EIGHT), late).to("cpu")
    print(f"loaded and moved: {away(fresh, late):.4f} away; early and late {away(early, late):.2f} from each other")
    assert away(fresh, late) < 0.01 < away(early, late)

    again = load(Block(EIGHT), early).to("cpu")
    assert away(again, early) < 0.01
    load(again, late)
    print(f"loaded again: {away(again, late):.2f} from late, {away(again, early):.2f} from early, bias only: {silent(again)}")
    assert silent(again) and away(again, late) > 0.5 and away(again, early) > 0.5
    assert silent(again.to("cpu"))

    moved = load(Block(EIGHT).to("cpu"), late)
    print(f"moved and loaded: {away(moved, late):.2f} from late, bias only: {silent(moved)}")
    assert silent(moved)

    twice = load(load(Block(EIGHT), early), late).to("cpu")
    assert away(twice, late) < 0.01

four = load(Block(FOUR), early).to("cpu")
try:
    load(four, late)
    raise AssertionError("four bits are loaded over")
except RuntimeError as error:
    assert "size mismatch" in str(error), error
print("as described")
PY
