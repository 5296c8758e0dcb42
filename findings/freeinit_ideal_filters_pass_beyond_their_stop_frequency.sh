#!/usr/bin/env bash
# diffusers 0.42.1: AnimateDiffPipeline.enable_free_init(method="ideal")
#
# FreeInit keeps the low frequencies of a noised video and draws the high ones anew. Its stop frequencies are "normalized",
# from 0 to 1 (half the sampling rate), and the larger the order of method="butterworth", the nearer it is said to come to
# "ideal". An ideal filter passes all up to the stop frequency and nothing beyond. Seen: butterworth halves at the stop
# frequency s, at any order, and a high order passes all below and nothing above. "ideal" compares a squared distance with
# 2 * s, so it passes all up to the root of 2 * s: with the default of 0.25 up to 0.707, which are 18 % of all frequencies
# where butterworth of order 64 passes 0.8 %. Along an axis nothing is left to be drawn from s = 0.5 on. So "ideal" keeps
# about 24 times as much of the first video's noise, and one number means different things by method. For "ideal" to stop
# at s, s * s / 2 has to be given in space and time (0.03125 for 0.25).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 diffusers==0.42.1 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'PY'
import torch
from diffusers.pipelines.free_init_utils import FreeInitMixin

SIZE = 32


def passed(method, stop, order=4):
    """The filter over all frequencies, and along one axis from 0 to just below half the sampling rate."""
    whole = FreeInitMixin()._get_free_init_freq_filter((1, 1, SIZE, SIZE, SIZE), "cpu", method, order, stop, stop)[0, 0]
    return whole, whole[SIZE // 2, SIZE // 2, SIZE // 2 :]


frequency = torch.arange(SIZE // 2) / (SIZE // 2)
ideal, line = passed("ideal", 0.25)
sharp, sharp_line = passed("butterworth", 0.25, order=64)
for name, whole, along in (("ideal", ideal, line), ("butterworth of order 64", sharp, sharp_line)):
    print(f"stop frequency 0.25, {name}: share passed {whole.mean():.4f}, by frequency", [round(v, 2) for v in along.tolist()])
assert torch.equal(line.bool(), frequency <= 0.5**0.5) and frequency[line.bool()].max() > 0.68
assert sharp_line[frequency < 0.25].min() > 0.99 and sharp_line[frequency > 0.25].max() < 0.01
assert 20 < ideal.mean() / sharp.mean() < 28
for order in (1, 4, 64):
    assert passed("butterworth", 0.25, order)[1][frequency == 0.25].item() == 0.5

for stop in (0.1, 0.25, 0.4, 0.5, 0.75, 1.0):
    along = passed("ideal", stop)[1].bool()
    print(f"stop frequency {stop}: ideal passes up to {frequency[along].max():.3f}")
    assert torch.equal(along, frequency**2 <= stop * 2)
assert torch.equal(passed("ideal", 0.5)[1], passed("ideal", 1.0)[1])

mended = passed("ideal", 0.25**2 / 2)[1].bool()
print(f"stop frequency 0.03125: ideal passes up to {frequency[mended].max():.3f}")
assert torch.equal(mended, frequency <= 0.25)
print("as described")
PY
