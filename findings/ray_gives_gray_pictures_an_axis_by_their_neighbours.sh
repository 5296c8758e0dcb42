#!/usr/bin/env bash
# ray 2.60.0: ray.data.read_images() of a folder with gray and colour pictures, without mode=
#
# Masks, depth maps and gray photographs lie beside colour ones, and one would expect a gray picture of 10 by 20 as (10, 20),
# or as (10, 20, 1), since without mode= a picture comes as Pillow reads it. It depends on its neighbours: alone, or in a block with
# others like it, it is (10, 20); in one block with a colour picture, which is (10, 20, 3), it is (1, 10, 20): channels first
# beside channels last. So the shape of one and the same file changes with override_num_blocks, which by default follows the size
# of the data and the cores; take_all() and iter_batches() disagree about it too, since a batch joins blocks; and code that
# looks for gray by ndim == 2, or takes the last axis for channels, finds 20 of them. It is so wherever blocks of a column hold
# other numbers of axes: a batch over a block of clips (4, 5, 6, 3) and one of pictures (5, 6, 3) has clips of one frame for these.
# mode="RGB" or "L" gives one shape. Nothing is raised or logged.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    "ray[data]==2.60.0" pydantic==2.14.4 pandas==3.1.1 pyarrow==26.0.1 pillow==12.1.0 numpy==2.2.6
mkdir "$work/pictures"
cat > "$work/read.py" <<'PY'
import sys
from pathlib import Path

import numpy as np
import ray
from PIL import Image

ray.init(num_cpus=1, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
ray.data.DataContext.get_current().enable_progress_bars = False
folder = Path(sys.argv[1])
arrays = {}
for at, mode in enumerate(("RGB", "L", "RGB", "L")):
    pixels = np.random.default_rng(at).integers(0, 256, (10, 20, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels).convert(mode)
    picture.save(folder / f"{at}.png")
    arrays[f"{at}.png"] = np.asarray(picture)


def shapes(dataset, column="image"):
    rows = [row[column].shape for row in dataset.take_all()]
    batches = [array.shape for batch in dataset.iter_batches(batch_size=4) for array in batch[column]]
    return rows, batches


COLOUR, GRAY, ODD = (10, 20, 3), (10, 20), (1, 10, 20)
for blocks in (1, 2, 4):
    rows, batches = shapes(ray.data.read_images(str(folder), override_num_blocks=blocks))
    print(f"{blocks} blocks: take_all() {rows}, iter_batches() {batches}")
    assert rows == ([COLOUR, GRAY] * 2 if blocks == 4 else [COLOUR, ODD] * 2) and batches == [COLOUR, ODD] * 2
gray = [str(folder / f"{at}.png") for at in (1, 3)]
print("gray alone:", shapes(ray.data.read_images(gray, override_num_blocks=1)))
assert shapes(ray.data.read_images(gray, override_num_blocks=1)) == ([GRAY] * 2, [GRAY] * 2)
for row in ray.data.read_images(str(folder), override_num_blocks=1, include_paths=True).take_all():
    assert np.array_equal(row["image"].squeeze(), arrays[Path(row["path"]).name])
for mode, shape in (("RGB", COLOUR), ("L", GRAY)):
    assert shapes(ray.data.read_images(str(folder), mode=mode, override_num_blocks=1)) == ([shape] * 4, [shape] * 4)

two = ray.data.range(4, override_num_blocks=2).map_batches(
    lambda batch: {"frames": np.zeros((len(batch["id"]), *((4, 5, 6, 3) if 0 in batch["id"] else (5, 6, 3))), np.uint8)}
)
rows, batches = shapes(two, "frames")
print(f"a block of clips and one of pictures: take_all() {rows}, iter_batches() {batches}")
assert rows == [(4, 5, 6, 3)] * 2 + [(5, 6, 3)] * 2 and batches == [(4, 5, 6, 3)] * 2 + [(1, 5, 6, 3)] * 2
print("as described")
PY
OMP_NUM_THREADS=1 RAY_USAGE_STATS_ENABLED=0 "$work/venv/bin/python" "$work/read.py" "$work/pictures" 2> "$work/errors" || { cat "$work/errors"; exit 1; }
