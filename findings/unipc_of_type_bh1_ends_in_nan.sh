#!/usr/bin/env bash
# diffusers 0.42.1: UniPCMultistepScheduler(solver_type="bh1"), and (predict_x0=False), all else as it is by default
#
# UniPC comes with two solver types; its documentation recommends "bh1" for unconditional sampling in fewer than 10 steps. By
# default the last step ends at noise zero, where the logarithm of signal to noise is infinite. Seen, with a network that is
# exactly right: all samples are finite up to the last step, and that one makes every number NaN, for 4 to 50 steps, orders 1
# to 3, the default and Karras' noise schedules, and flow sigmas as Wan's configuration has them. "bh2" ends within 1e-4 of
# the clean sample. predict_x0=False ends in NaN with either type. Nothing is raised or logged, though DPM-Solver refuses its
# own pair that cannot end at zero by a ValueError. final_sigmas_type="sigma_min" is finite and leaves the smallest noise in.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 diffusers==0.42.1 numpy==2.2.6
"$work/venv/bin/python" - <<'PY'
import torch
from diffusers import DPMSolverMultistepScheduler, UniPCMultistepScheduler

FLOW = dict(use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=3.0)


def errors(steps, **config):
    """Whether all samples before the last step are finite, and the error after it, with an exact network."""
    scheduler = UniPCMultistepScheduler(**config)
    scheduler.set_timesteps(steps)
    scheduler.set_begin_index(0)
    generator = torch.Generator().manual_seed(0)
    clean, sample = torch.randn(2, 1, 1, 8, 8, generator=generator)
    on_the_way = []
    for index, time in enumerate(scheduler.timesteps):
        on_the_way.append(bool(sample.isfinite().all()))
        sigma = scheduler.sigmas[index]
        if scheduler.config.use_flow_sigmas:
            output = (sample - clean) / sigma
        else:
            signal = 1 / (1 + sigma**2) ** 0.5
            output = (sample - signal * clean) / (sigma * signal)
        sample = scheduler.step(output, time, sample, return_dict=False)[0]
    return all(on_the_way), sample - clean


for steps in (4, 9, 20, 50):
    for config in ({}, FLOW, dict(use_karras_sigmas=True)):
        finite, error = errors(steps, solver_type="bh2", **config)
        assert finite and error.abs().max() < 1e-4, (steps, config, error.abs().max())
        for order in (1, 2, 3):
            finite, error = errors(steps, solver_type="bh1", solver_order=order, **config)
            assert finite and error.isnan().all(), (steps, order, config)
    for kind in ("bh1", "bh2"):
        finite, error = errors(steps, solver_type=kind, predict_x0=False)
        assert finite and error.isnan().all(), (steps, kind)
    finite, error = errors(steps, solver_type="bh1", final_sigmas_type="sigma_min")
    print(f"{steps} steps: bh1 all NaN at the last one; with sigma_min off by {error.std():.3f}")
    assert finite and 0.005 < error.std() < 0.05
try:
    DPMSolverMultistepScheduler(algorithm_type="dpmsolver")
except ValueError as error:
    print("DPM-Solver:", error)
else:
    raise AssertionError("DPM-Solver takes a last step to zero")
print("as described")
PY
