#!/usr/bin/env bash
# diffusers 0.42.1: FlowMatchEulerDiscreteScheduler(shift=s) and FlowMatchEulerDiscreteScheduler() with set_shift(s)
#
# The two should make one schedule. Seen: the times between which the levels are spread are themselves shifted by a
# configured shift, and then all levels are shifted again. The first is 1 either way; the last is the shift of the shift.
# For 8 steps it is 0.0089 in place of 0.0030 with shift 3, 0.024 for 0.0050 with 5, and 0.126 for 0.0119 with 12: with the
# shifts that video models use, an eighth of the noise goes in the last step. A shift given by set_shift moves it once, so
# that set_shift(scheduler.shift), which sets what is set, changes nothing on a configured scheduler, while the other way to
# the same shift gives another video. save_pretrained writes the configured shift: one set by set_shift is not in the file.
# The Heun scheduler of flows shifts twice as well. Levels handed over as sigmas are shifted once.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 diffusers==0.42.1 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'PY'
import tempfile

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FlowMatchHeunDiscreteScheduler


def shifted(level, shift):
    return shift * level / (1 + (shift - 1) * level)


def last(scheduler, steps=8, **given):
    scheduler.set_timesteps(steps, **given)
    return float(scheduler.sigmas[-2])


for shift, expected in ((3.0, 0.0089), (5.0, 0.0244), (12.0, 0.126)):
    configured = FlowMatchEulerDiscreteScheduler(shift=shift)
    told = FlowMatchEulerDiscreteScheduler()
    told.set_shift(shift)
    once, twice = shifted(0.001, shift), shifted(shifted(0.001, shift), shift)
    assert configured.shift == told.shift == shift
    print(f"shift {shift}: last level {last(configured):.4f} configured, {last(told):.4f} set, shifted once {once:.4f}")
    assert abs(last(configured) - twice) < 1e-5 and abs(last(told) - once) < 1e-5 and abs(twice - expected) < 1e-3
    assert float(configured.sigmas[0]) == float(told.sigmas[0]) == 1
    configured.set_shift(configured.shift)
    assert abs(last(configured) - twice) < 1e-5
    assert abs(last(FlowMatchHeunDiscreteScheduler(shift=shift)) - twice) < 1e-5
    levels = torch.linspace(1, 0.001, 8).tolist()
    assert abs(last(configured, sigmas=levels) - once) < 1e-5
    with tempfile.TemporaryDirectory() as folder:
        told.save_pretrained(folder)
        assert FlowMatchEulerDiscreteScheduler.from_pretrained(folder).shift == 1.0
print("as described")
PY
