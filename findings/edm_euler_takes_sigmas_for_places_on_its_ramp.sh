#!/usr/bin/env bash
# diffusers 0.42.1: EDMEulerScheduler.set_timesteps(sigmas=...), the scheduler of Cosmos' video pipelines
#
# The argument's text is "Custom sigmas to use for the denoising process", as in Euler's scheduler, which takes noise levels
# and keeps them. This one takes places on its own ramp, 0 for sigma_max and 1 for sigma_min. Seen: of the levels 80, 10, 1,
# 0.1 the first becomes -2.6e14, the second -5e7, the third 0.002, the fourth 45, and the network is asked twice for the time
# NaN. Levels that all lie in 0 to 1, as flows have them, give a schedule that looks sound and rises instead of falling:
# 0.9 becomes 0.017, and 0.1 becomes 45. With sigma_schedule="exponential" nothing but their number is looked at. A list,
# which the signature names, is an AttributeError. Nothing else is raised or logged. linspace(0, 1, steps), handed over as sigmas, gives the default levels.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 diffusers==0.42.1 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'PY'
import torch
from diffusers import EDMEulerScheduler, EulerDiscreteScheduler

LEVELS = torch.tensor([80.0, 10.0, 1.0, 0.1])


def levels(given, **config):
    scheduler = EDMEulerScheduler(**config)
    scheduler.set_timesteps(sigmas=given)
    return scheduler.sigmas, scheduler.timesteps


usual = EulerDiscreteScheduler()
usual.set_timesteps(sigmas=[10.0, 5.0, 1.0, 0.1])
assert torch.allclose(usual.sigmas, torch.tensor([10.0, 5.0, 1.0, 0.1]))  # what the same words mean there

sigmas, times = levels(LEVELS)
print("80, 10, 1, 0.1 become", sigmas.tolist(), "at", times.tolist())
assert sigmas[0] < -1e14 and sigmas[1] < -1e7 and abs(sigmas[2] - 0.002) < 1e-4 and sigmas[3] > 40
assert times.isnan().tolist() == [True, True, False, False]

sigmas, times = levels(torch.tensor([0.9, 0.5, 0.1]))
print("0.9, 0.5, 0.1 become", sigmas.tolist())
assert abs(sigmas[0] - 0.0167) < 1e-3 and sigmas[2] > 40 and times.isfinite().all()
assert torch.equal(
    levels(LEVELS, sigma_schedule="exponential")[0], levels(LEVELS / 7 + 3, sigma_schedule="exponential")[0]
)
try:
    levels([80.0, 10.0])
except AttributeError as error:
    print("a list:", error)
else:
    raise AssertionError("a list is taken")

default = EDMEulerScheduler()
default.set_timesteps(4)
assert torch.equal(levels(torch.linspace(0, 1, 4, dtype=torch.float64))[0], default.sigmas)
print("as described")
PY
