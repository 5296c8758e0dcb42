#!/usr/bin/env bash
# safetensors 0.8.0 with torch 2.13.0.
#
# torch conjugates lazily: `x.conj()` shares x's memory and carries a bit that tells readers to flip
# the sign of the imaginary part; the same bit for real numbers makes a negated view. Such a tensor
# is contiguous, so `safetensors.torch.save` takes it, and writes the memory without the bit. What
# is loaded is x and not its conjugate, with no error and no warning. `torch.save` keeps the bit.
# A spectral filter that a layer keeps conjugated is a file of its mirror image. `resolve_conj()`
# before saving is the way out.
#
# Seen:
#   given   [1-2j, 3+4j]
#   loaded  [1+2j, 3-4j]   by safetensors
#   loaded  [1-2j, 3+4j]   by torch.save, and by safetensors after resolve_conj()
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 safetensors==0.8.0 numpy==2.3.5
cd "$work"
venv/bin/python - <<'PYTHON'
import io

import torch
from safetensors.torch import load, save

kept = torch.tensor([1 + 2j, 3 - 4j])
given = kept.conj()
assert given.is_conj() and given.is_contiguous() and given.tolist() == [1 - 2j, 3 + 4j]

loaded = load(save({"filter": given}))["filter"]
print("given  ", given.tolist())
print("loaded ", loaded.tolist(), "by safetensors")
assert loaded.tolist() == kept.tolist() != given.tolist(), "the conjugation is kept now"

buffer = io.BytesIO()
torch.save(given, buffer)
buffer.seek(0)
pickled = torch.load(buffer, weights_only=True)
resolved = load(save({"filter": given.resolve_conj()}))["filter"]
print("loaded ", pickled.tolist(), "by torch.save")
print("loaded ", resolved.tolist(), "by safetensors after resolve_conj()")
assert pickled.tolist() == resolved.tolist() == given.tolist()
PYTHON
echo "as described"
