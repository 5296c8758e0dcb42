#!/usr/bin/env bash
# ray 2.60.0: Dataset.zip() of a shuffled dataset with what was computed from it
#
# Latents, captions or scores are computed from the clips of a dataset and put beside them with zip(), which joins rows in order;
# two datasets made from one are expected to have one order, and map() keeps it. A dataset is a plan, though, and zip() runs
# the plan of each side: below a random_shuffle() without a seed the two sides are shuffled apart, so clips stand beside the
# latents of other clips. Seen: of 40 rows that are shuffled, mapped and zipped, 38 to 40 stand beside another's; with
# randomize_block_order(), the cheap shuffle, whole blocks do. All columns and all rows are there, so a training goes on with
# pairs that do not belong together. random_shuffle(seed=...), materialize() before the map and no shuffle at all give 0. What
# zip() documents is the number of rows, of blocks and columns of one name; nothing is raised or logged.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    "ray[data]==2.60.0" pydantic==2.14.4 pandas==3.1.1 pyarrow==26.0.1 numpy==2.2.6
cat > "$work/zip.py" <<'PY'
import ray

ray.init(num_cpus=1, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
ray.data.DataContext.get_current().enable_progress_bars = False
clips = ray.data.range(40, override_num_blocks=4)


def latent(row):
    return {"latent_of": row["id"]}


def mismatched(dataset):
    rows = dataset.zip(dataset.map(latent)).take_all()
    assert sorted(row["id"] for row in rows) == sorted(row["latent_of"] for row in rows) == list(range(40))
    return sum(row["id"] != row["latent_of"] for row in rows)


found = {
    "as read": [mismatched(clips)],
    "random_shuffle()": [mismatched(clips.random_shuffle()) for _ in range(3)],
    "randomize_block_order()": [mismatched(clips.randomize_block_order()) for _ in range(6)],
    "random_shuffle(seed=1)": [mismatched(clips.random_shuffle(seed=1))],
    "random_shuffle().materialize()": [mismatched(clips.random_shuffle().materialize())],
}
for name, counts in found.items():
    print(f"{name}: of 40 rows beside another's: {', '.join(map(str, counts))}")
assert min(found["random_shuffle()"]) > 20 and max(found["randomize_block_order()"]) >= 20
assert found["as read"] == found["random_shuffle(seed=1)"] == found["random_shuffle().materialize()"] == [0]
print("as described")
PY
OMP_NUM_THREADS=1 RAY_USAGE_STATS_ENABLED=0 "$work/venv/bin/python" "$work/zip.py" 2> "$work/errors" || { cat "$work/errors"; exit 1; }
