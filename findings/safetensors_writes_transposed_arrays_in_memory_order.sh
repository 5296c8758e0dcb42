#!/usr/bin/env bash
# safetensors 0.8.0: safetensors.numpy.save and save_file with arrays that are views, such as transposed ones
#
# Frames come as rows, columns, channels and are kept with the channels first; np.moveaxis makes a view of them, and a
# view was written as what it shows up to 0.7.0. 0.8.0 hands the writer the address of the array's memory and its size,
# whatever the order of its axes: the header has the view's shape and dtype, the numbers are in the order of the memory.
# Seen with a clip of 3 frames of 4 by 5: moved axes come back in the right shape, with the same sum and 178 of 180
# numbers in the wrong place; the left two columns of a sheet come back as its first numbers, others among them. Both are
# right with 0.7.0. Nothing is raised or logged when writing or reading. np.ascontiguousarray before saving is right with both.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check safetensors==0.8.0 numpy==2.2.6
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --target "$work/before" safetensors==0.7.0
cat > "$work/see.py" <<'PY'
import sys
from importlib.metadata import version

import numpy as np
from safetensors.numpy import load, load_file, save, save_file

clip = np.arange(3 * 4 * 5 * 3, dtype=np.float32).reshape(3, 4, 5, 3)
first, sheet = np.moveaxis(clip, -1, 0), np.arange(12, dtype=np.float32).reshape(2, 6)
given = {"channels first": first, "left columns": sheet[:, :2], "packed": np.ascontiguousarray(first)}
save_file(given, sys.argv[1] + "/saved.safetensors")
written, kept = load_file(sys.argv[1] + "/saved.safetensors"), load(save(given))
wrong = {}
for name, array in given.items():
    assert written[name].shape == array.shape and written[name].dtype == array.dtype
    assert np.array_equal(written[name], kept[name])
    wrong[name] = int((written[name] != array).sum())
print(version("safetensors"), "numbers in the wrong place:", wrong)
assert written["channels first"].sum() == clip.sum()
if version("safetensors") == "0.8.0":
    assert np.array_equal(written["channels first"].ravel(), clip.ravel()), "the memory as it lies"
    assert written["left columns"].tolist() == [[0, 1], [2, 3]] != sheet[:, :2].tolist()
    assert wrong["channels first"] > 150 and not wrong["packed"]
else:
    assert not any(wrong.values())
PY
PYTHONPATH="$work/before" "$work/venv/bin/python" "$work/see.py" "$work"
"$work/venv/bin/python" "$work/see.py" "$work"
echo "as described"
