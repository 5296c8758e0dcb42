#!/usr/bin/env bash
# zarr 3.1.6: a group of latents whose metadata was consolidated, and rows appended to one of its arrays later
#
# consolidate_metadata writes the metadata of all arrays into the group's own file, so that a loader reads one. It is "used
# if present" by open_group. An array opened by its own path writes and reads its own metadata. Both are ways to the same
# rows, so that one expects to find what was appended in either. Seen, with 4 rows, a consolidation and 4 more rows: the
# array has 8, the group goes on to say 4 in modes "r", "r+" and "a". And append() through the group counts from 4: its rows
# are written over those that were there, in the store, and the array opened by its path has 8 rows, four of them lost. A
# mask array that is created in the group afterwards is written, and is neither listed nor found in the group when opened
# again: to create it once more is a ContainsArrayError beside "masks" in group == False. The consolidated copy is not
# written again by any of these. Formats 2 and 3 alike. Nothing is raised or warned at the appending. use_consolidated=False
# in open_group appends behind the last row.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check zarr==3.1.6 numpy==2.2.6
cd "$work"
"$work/venv/bin/python" - <<'PY'
import shutil
import warnings

import numpy as np
import zarr
from zarr.errors import ContainsArrayError


def rows(value):
    return np.full((4, 3), value, np.float32)


def prepared(form):
    """A store of 4 rows of 1, consolidated, with 4 rows of 2 appended by the array's path."""
    shutil.rmtree("store", ignore_errors=True)
    group = zarr.open_group("store", mode="w", zarr_format=form)
    group.create_array("latents", data=rows(1), chunks=(2, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of format 3: other implementations may not read it
        zarr.consolidate_metadata("store")
    warnings.simplefilter("error")
    zarr.open_array("store/latents", mode="r+").append(rows(2))


def stored():
    return zarr.open_array("store/latents", mode="r")[:, 0].astype(int).tolist()


for form in (2, 3):
    prepared(form)
    assert stored() == [1, 1, 1, 1, 2, 2, 2, 2]
    seen = [zarr.open_group("store", mode=mode)["latents"].shape[0] for mode in ("r", "r+", "a")]
    zarr.open_group("store", mode="r+")["latents"].append(rows(3))
    print(f"format {form}: by the group {seen} rows; after appending 3 through it:", stored())
    assert seen == [4, 4, 4]
    assert stored() == [1, 1, 1, 1, 3, 3, 3, 3], "the rows of 2 are still there"

    prepared(form)
    zarr.open_group("store", mode="r+", use_consolidated=False)["latents"].append(rows(3))
    assert stored() == [1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3]

    prepared(form)
    zarr.open_group("store", mode="r+").create_array("masks", data=rows(5), chunks=(2, 3))
    group = zarr.open_group("store", mode="r+")
    print("masks in the group:", "masks" in group, sorted(group), "by their path:", zarr.open_array("store/masks").shape)
    assert "masks" not in group and sorted(group) == ["latents"]
    assert (zarr.open_array("store/masks", mode="r")[:] == 5).all()
    try:
        group.create_array("masks", data=rows(6), chunks=(2, 3))
        raise AssertionError("it was created again")
    except ContainsArrayError:
        pass
print("as described")
PY
