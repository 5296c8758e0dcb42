#!/usr/bin/env bash
# diffusers 0.42.1: FlowMatchHeunDiscreteScheduler.scale_noise, asked for one time after another as a training loop does
#
# scale_noise(sample, timestep, noise) mixes data and noise to the level of a time. Seen: the first call fixes the step, and
# every later one mixes to that level whatever time it is given: asked for 0.9, 0.5 and 0.1 after 0.1, all are a tenth noise.
# A network trained so is told every time and shown one. set_timesteps sets it free for one more call. A scheduler that
# mixed at a later time before it samples begins with the step of that time: of 15 calls for eight steps the eighth makes
# NaN, with an exact network, and the ninth is an IndexError. Times of a batch are a RuntimeError for more than one sample,
# so that one is led to call it sample by sample. FlowMatchEulerDiscreteScheduler mixes each at its own. Nothing is logged.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 diffusers==0.42.1 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'PY'
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FlowMatchHeunDiscreteScheduler

one, zero = torch.ones(1, 2), torch.zeros(1, 2)


def shares(scheduler, levels):
    """Of noise in what is mixed for each level; the data are zeros and the noise ones."""
    times = [scheduler.timesteps[(scheduler.timesteps - 1000 * level).abs().argmin()] for level in levels]
    return [round(float(scheduler.scale_noise(zero, time.view(1), one).mean()), 3) for time in times]


for first in (0.1, 0.9):
    levels = [first, 0.9, 0.5, 0.1]
    heun = shares(FlowMatchHeunDiscreteScheduler(), levels)
    euler = shares(FlowMatchEulerDiscreteScheduler(), levels)
    print("asked for", levels, "Heun", heun, "Euler", euler)
    assert heun == [first] * 4 and euler == levels

scheduler = FlowMatchHeunDiscreteScheduler()
assert shares(scheduler, [0.1, 0.9]) == [0.1, 0.1]
scheduler.set_timesteps(1000)
assert shares(scheduler, [0.9, 0.1]) == [0.9, 0.9]

times = FlowMatchHeunDiscreteScheduler().timesteps[[100, 500]]
mixed = FlowMatchEulerDiscreteScheduler().scale_noise(torch.zeros(2, 2), times, torch.ones(2, 2))
assert torch.allclose(mixed.mean(1), times / 1000)
try:
    FlowMatchHeunDiscreteScheduler().scale_noise(torch.zeros(2, 2), times, torch.ones(2, 2))
except RuntimeError as error:
    print("two times:", error)
else:
    raise AssertionError("a batch of times is taken")


def sampled(mix_first):
    """Calls until the end or an error, and the levels at which the samples were: data are zeros, the network is exact."""
    scheduler = FlowMatchHeunDiscreteScheduler()
    scheduler.set_timesteps(8)
    sample, seen = one, []
    if mix_first:
        scheduler.scale_noise(zero, scheduler.timesteps[7].view(1), one)
    for time in scheduler.timesteps:
        try:
            sample = scheduler.step(one, time, sample, return_dict=False)[0]
        except IndexError:
            return seen, "IndexError"
        seen.append(round(float(sample.mean()), 3))
    return seen, "end"


plain, mixed = sampled(False), sampled(True)
print("plain", plain)
print("after one mixing", mixed)
assert plain[1] == "end" and abs(plain[0][-1]) < 1e-3
assert mixed[1] == "IndexError" and len(mixed[0]) == 8 and mixed[0][-1] != mixed[0][-1]
print("as described")
PY
