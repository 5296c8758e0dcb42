#!/usr/bin/env bash
# h5py 3.16.0 (HDF5 as shipped with it): a virtual dataset over shards of latents, one of which is not what it was
#
# A virtual dataset joins the arrays of many files under one name, so that a loader need not know the shards. One would think
# that reading a row whose file is gone fails. Seen, with three shards of 4 rows of float32: with the third file deleted,
# renamed or on a disk that isn't mounted, its rows are zeros; the same if the file is there and its array has another
# name. An array of the same size and another shape, (2, 4) for (4, 2), is read as it lies in memory; of a longer one, a
# part. A virtual layout declared as uint8 over floats gives their whole part, cut off at 255: 300.7 is 255. shape, dtype and
# virtual_sources() are always as before. Nothing is raised or logged; only a file of other bytes, or an array with fewer
# numbers, is an OSError. fillvalue=nan in create_virtual_dataset makes a missing file or name show.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check h5py==3.16.0 numpy==2.2.6
cat > "$work/see.py" <<'PY'
import sys
from pathlib import Path

import h5py
import numpy as np

work = Path(sys.argv[1])


def shard(number, values, name="latents"):
    with h5py.File(work / f"shard-{number}.h5", "w") as file:
        file[name] = np.asarray(values, np.float32)


def joined(name, dtype="f4", **settings):
    layout = h5py.VirtualLayout((12, 2), dtype=dtype)
    for number in range(3):
        source = h5py.VirtualSource(f"shard-{number}.h5", "latents", shape=(4, 2))
        layout[4 * number : 4 * number + 4] = source
    with h5py.File(work / "all.h5", "a", libver="latest") as file:
        file.create_virtual_dataset(name, layout, **settings)


def read(name="latents"):
    with h5py.File(work / "all.h5") as file:
        assert file[name].shape == (12, 2) and len(file[name].virtual_sources()) == 3
        rows = file[name][:]
    print(name, rows[::4, 0], "the third shard:", rows[8:].ravel())
    return rows


for number in range(3):
    shard(number, np.full((4, 2), 300.7 + number))
joined("latents")
joined("bytes", "u1")
joined("marked", fillvalue=np.nan)
whole = np.repeat(np.float32([300.7, 301.7, 302.7]), 4)[:, None].repeat(2, 1)
assert np.array_equal(read(), whole)
assert (read("bytes") == 255).all()

(work / "shard-2.h5").unlink()
assert np.array_equal(read()[:8], whole[:8]) and not read()[8:].any()
assert np.isnan(read("marked")[8:]).all()
shard(2, whole[8:], "latent")
assert not read()[8:].any()
shard(2, np.arange(8).reshape(2, 4))
assert np.array_equal(read()[8:], np.arange(8).reshape(4, 2))
shard(2, np.arange(10).reshape(5, 2))
assert np.array_equal(read()[8:], np.arange(8).reshape(4, 2))
for spoil in (lambda: shard(2, np.ones((3, 2))), lambda: (work / "shard-2.h5").write_bytes(bytes(100))):
    spoil()
    try:
        read()
    except OSError as error:
        print("raised:", error)
    else:
        raise AssertionError("read")
print("as described")
PY
"$work/venv/bin/python" "$work/see.py" "$work"
