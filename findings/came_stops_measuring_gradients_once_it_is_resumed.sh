#!/usr/bin/env bash
# came-pytorch 0.1.3 with torch 2.13.0: CAME, the optimizer of Sana and its video models, on bfloat16 weights, saved and loaded
#
# CAME keeps its averages in float32 also where the weights are bfloat16. state_dict() holds them so, and a checkpoint too, but
# torch's load_state_dict casts floating states to the type of their weight, and CAME goes on in that type. Its averages of
# squares then should move by a thousandth (betas of 0.999 and 0.9999) where bfloat16 knows steps of about 1/256 of a value:
# they round back to where they were. Seen with gradients that fall to a tenth after a resume: of 2000 further steps the
# average of squares falls to under a third where nothing was loaded, and stays the same number where it was; the weights move
# a different way. It is the average of the checkpoint for good. Where the weights are float32 a resume is exact, and
# transformers' Adafactor with bfloat16 weights widens its states again at each step. Nothing is raised, warned or logged.
# Putting the checkpoint's own tensors back into optimizer.state after loading makes the resume exact.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 came-pytorch==0.1.3 transformers==5.24.0 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - "$work" <<'PY'
import sys
import warnings

import torch
from came_pytorch import CAME
from transformers import Adafactor

warnings.simplefilter("error")
AVERAGE = "exp_avg_sq_row"


def train(weight, optimizer, steps, size):
    for step in range(steps):
        gradient = torch.randn(weight.shape, generator=torch.Generator().manual_seed(step)) * size
        weight.grad = gradient.to(weight.dtype)
        optimizer.step()


def compared(make, dtype, put_back=False):
    """Types of the states before and after loading, the averages of squares at the resume and at both ends, both weights."""
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(32, 32).to(dtype))
    optimizer = make(weight)
    train(weight, optimizer, 50, 1.0)
    path = f"{sys.argv[1]}/checkpoint.pt"
    torch.save({"weight": weight.detach(), "optimizer": optimizer.state_dict()}, path)
    then = float(optimizer.state[weight][AVERAGE].mean())

    stored = torch.load(path)
    other = torch.nn.Parameter(stored["weight"])
    resumed = make(other)
    resumed.load_state_dict(stored["optimizer"])
    states = optimizer.state[weight], stored["optimizer"]["state"][0], resumed.state[other]
    types = [state[AVERAGE].dtype for state in states]
    if put_back:
        resumed.state[other].update(torch.load(path)["optimizer"]["state"][0])
    for one, used in ((weight, optimizer), (other, resumed)):
        train(one, used, 2000, 0.1)
    ends = [float(used.state[one][AVERAGE].float().mean()) for one, used in ((weight, optimizer), (other, resumed))]
    return types, then, ends, (weight.detach().float(), other.detach().float())


def came(weight):
    return CAME([weight], lr=1e-3)


types, then, (going_on, resumed), (first, second) = compared(came, torch.bfloat16)
difference = float((first - second).norm() / first.norm())
print("bfloat16: states are", types[0], "in the checkpoint", types[1], "when loaded", types[2])
print(f"  average of squares {then:.5f} at the resume; 2000 steps later {going_on:.5f}, resumed {resumed:.5f}")
print(f"  the weights are {difference:.3f} of their size apart")
assert types == [torch.float32, torch.float32, torch.bfloat16]
assert going_on < then / 3 and abs(resumed / then - 1) < 0.01 and difference > 0.01

for name, dtype, put_back in (("float32", torch.float32, False), ("bfloat16, put back", torch.bfloat16, True)):
    types, then, (going_on, resumed), (first, second) = compared(came, dtype, put_back)
    print(f"{name}: 2000 steps later {going_on:.5f}, resumed {resumed:.5f}")
    assert going_on == resumed and torch.equal(first, second)

types, then, (going_on, resumed), _ = compared(
    lambda weight: Adafactor([weight], lr=1e-3, relative_step=False, scale_parameter=False), torch.bfloat16
)
print(f"Adafactor, bfloat16: 2000 steps later {going_on:.5f}, resumed {resumed:.5f}")
assert types[2] == torch.bfloat16 and abs(resumed / going_on - 1) < 0.01
print("as described")
PY
