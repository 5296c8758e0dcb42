#!/usr/bin/env bash
# diffusers 0.42.1: UniPCMultistepScheduler with flow sigmas, many steps and a large shift; Wan's pipelines but text-to-video
#
# Its timesteps are whole numbers. With flow_shift 12 (Wan 2.2 A14B's for text-to-video) the first two of 85 steps are both 999,
# and a loop that does not set a begin index looks the first one up by its value: of equal ones the second is taken. So
# sampling begins one step late with the noise of the first, all later steps are off by one, and after 84 of them a bare
# AssertionError without a word ends it. 84 steps are right. Seen: timesteps 999, 999, 997; 85 steps with
# set_begin_index(0) end at the clean value, without it the error comes at the last step.
# WanPipeline calls set_begin_index(0); WanImageToVideoPipeline, WanVACEPipeline, WanAnimatePipeline and
# WanVideoToVideoPipeline of the same release do not.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 diffusers==0.42.1 numpy==2.2.6
cat > "$work/steps.py" <<'PY'
from pathlib import Path

import diffusers
import torch
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler


def sampled(steps, begin):
    """From noise 1 to clean 0 by the exact velocity: steps done, the last value, and the error."""
    scheduler = UniPCMultistepScheduler(
        use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=12.0
    )
    scheduler.set_timesteps(steps)
    if begin:
        scheduler.set_begin_index(0)
    x, done = torch.ones(1, 1, 1, 1), 0
    for t in scheduler.timesteps:
        velocity = x / max(float(t) / 1000, 1e-6)
        try:
            x = scheduler.step(velocity, t, x).prev_sample
        except AssertionError as error:
            return scheduler.timesteps[:3].tolist(), done, repr(error)
        done += 1
    return scheduler.timesteps[:3].tolist(), done, float(x)


first, done, end = sampled(84, begin=False)
assert first == [999, 998, 997] and done == 84 and abs(end) < 1e-3, (first, done, end)
first, done, end = sampled(85, begin=True)
assert first == [999, 999, 997] and done == 85 and abs(end) < 1e-3, (first, done, end)
first, done, end = sampled(85, begin=False)
assert first == [999, 999, 997] and done == 84 and end == "AssertionError()", (first, done, end)
folder = Path(diffusers.__file__).parent / "pipelines/wan"
calls = {
    file.stem: file.read_text().count("set_begin_index(0)")
    for file in folder.glob("pipeline_wan*.py")
}
assert len(calls) == 5, calls
assert calls.pop("pipeline_wan") == 1 and set(calls.values()) == {0}, calls
print("85 steps begin one late and end in an error, as described")
PY
"$work/venv/bin/python" "$work/steps.py"
