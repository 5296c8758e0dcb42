#!/usr/bin/env bash
# gguf 0.19.0: Q8_0 against Q4_0 on layers with small weights, such as outputs that begin at zero and were trained little
#
# Both keep blocks of 32 numbers as whole ones times a scale in float16. Q8_0's whole numbers reach 127, Q4_0's reach 8: the
# scale of eight bits is a sixteenth of that of four, and leaves float16's range (whole precision down to 6e-5, nothing below
# 3e-8) so much earlier. The file of twice the size is then the worse one. Seen for normally distributed weights, the error as
# a share of their standard deviation, Q8_0 and Q4_0: 0.5 and 9 % at 1e-3, 9 and 9 % at 1e-5, 22 and 9 % at 5e-6. At 2e-6 the
# few scales that are left make all weights larger by a third and more, at 1e-6 99 % of them are zero and Q4_0 is at 10 %.
# bfloat16 stays at 0.2 %. Nothing is raised or logged. A layer from zero is about that size after a few steps at 1e-6.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check gguf==0.19.0 numpy==2.2.6
"$work/venv/bin/python" - <<'PY'
import numpy as np
from gguf import GGMLQuantizationType as Kind
from gguf import quants

normal = np.random.default_rng(0).standard_normal((64, 1024)).astype(np.float32)


def kept(kind, size):
    """Error, as a share of the standard deviation; factor on the weights; share of zeros."""
    weights = normal * np.float32(size)
    read = quants.dequantize(quants.quantize(weights, kind), kind).astype(np.float64)
    factor = (read * weights).sum() / (weights.astype(np.float64) ** 2).sum()
    return float((read - weights).std() / weights.std()), float(factor), float((read == 0).mean())


for size in (1e-3, 1e-4, 1e-5, 5e-6, 2e-6, 1e-6):
    eight, four, brain = (kept(kind, size) for kind in (Kind.Q8_0, Kind.Q4_0, Kind.BF16))
    print(f"{size:.0e}: Q8_0 off by {eight[0]:.3f}, times {eight[1]:.2f}, {eight[2]:.2f} zero; Q4_0 {four[0]:.3f}")
    assert 0.08 < four[0] < 0.11 and brain[0] < 0.003, (four, brain)
    if size == 1e-3:
        assert eight[0] < 0.01, eight
    if size == 5e-6:
        assert eight[0] > 2 * four[0], (eight, four)
    if size == 2e-6:
        assert eight[1] > 1.3, eight
    if size == 1e-6:
        assert eight[2] > 0.98, eight
print("as described")
PY
