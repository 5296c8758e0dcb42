#!/usr/bin/env bash
# datasets 5.2.0: map() and Dataset.from_generator() with functions of one's own module, which is edited between two runs
#
# Both keep their results on the disk under a hash "of the function and all the args", so that a changed function is
# computed anew. That is so of functions in the script that is run. A function of an imported module is hashed by its name
# alone, as pickle writes it. Seen, with a module that crops clips to 2 frames and is edited to 3: the next run, a new
# process, prints the function's own 3 and gets 2 from map(); a generator that was edited to yield another column yields the
# old ones. The same two functions in the script are run anew, so that what was tried out there ceases to hold once it is
# moved into a package. The files that a generator reads are no argument: with three clips added and one changed the same
# call has the first three, as they were, while Dataset.from_json and IterableDataset.from_generator see such changes. A
# repaired crop, caption or filter thus trains on what it was to repair. Nothing is raised or logged.
# load_from_cache_file=False, and fingerprint= of from_generator, are the ways out.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check datasets==5.2.0 numpy==2.2.6
cd "$work"
export HF_HOME="$work/cache" HF_HUB_OFFLINE=1 PYTHONDONTWRITEBYTECODE=1
cat > functions.txt <<'PY'
import json
from pathlib import Path


def clips(folder):
    for path in sorted(Path(folder).iterdir()):
        yield {"name": path.stem, "frames": json.loads(path.read_text())}


def crop(row):
    return {"cropped": row["frames"][:2]}
PY
cat > work.txt <<'PY'
import sys

from datasets import Dataset, IterableDataset, disable_progress_bars

disable_progress_bars()
options = {"gen_kwargs": {"folder": sys.argv[1]}}
data = Dataset.from_generator(clips, **options)
row = data.map(crop)[0]
own = next(iter(clips(sys.argv[1])))
stream = IterableDataset.from_generator(clips, **options)
again = data.map(crop, load_from_cache_file=False)[0]
table = Dataset.from_json(sys.argv[1] + ".jsonl")
print(json.dumps({
    "rows": len(data), "columns": sorted(data.column_names), "first": row["frames"], "mapped": len(row["cropped"]),
    "own": len(crop(own)["cropped"]), "own columns": sorted(own), "stream": len(list(stream)), "again": len(again["cropped"]),
    "table": len(table),
}))  # fmt: skip
PY
(echo "from prepare import clips, crop"; echo "import json"; cat work.txt) > by_module.py
python3 - <<'PY'
import json
import os
import subprocess
from pathlib import Path

FUNCTIONS = Path("functions.txt").read_text()
WORK = Path("work.txt").read_text()
PYTHON = Path(os.environ["HF_HOME"]).parent / "venv/bin/python"


def write(functions):
    Path("prepare.py").write_text(functions)
    Path("in_script.py").write_text(functions + WORK)


def run(script, folder):
    done = subprocess.run([PYTHON, script, folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def clip(folder, number, value):
    Path(folder).mkdir(exist_ok=True)
    Path(folder, f"{number}.json").write_text(json.dumps([value] * 4))
    lines = [path.read_text() for path in sorted(Path(folder).iterdir())]
    Path(f"{folder}.jsonl").write_text("".join(json.dumps({"frames": json.loads(line)}) + "\n" for line in lines))


edited = FUNCTIONS.replace("[:2]", "[:3]").replace('yield {"name"', 'yield {"added": 1, "name"')
assert edited != FUNCTIONS
for script in ("by_module.py", "in_script.py"):
    folder = script.partition(".")[0]
    for number in range(3):
        clip(folder, number, number)
    write(FUNCTIONS)
    before = run(script, folder)
    assert before["mapped"] == before["own"] == 2 and before["rows"] == 3
    write(edited)
    after = run(script, folder)
    print(f"{script}: the edited function crops to {after['own']}, map() gives {after['mapped']}; columns {after['columns']}")
    assert after["own"] == after["again"] == 3 and after["own columns"] == ["added", "frames", "name"]
    if script == "by_module.py":
        assert after["mapped"] == 2 and after["columns"] == ["frames", "name"]
    else:
        assert after["mapped"] == 3 and after["columns"] == ["added", "frames", "name"]

    clip(folder, 0, 99)
    for number in range(3, 6):
        clip(folder, number, number)
    grown = run(script, folder)
    print(f"{script}: of 6 clips {grown['rows']}, streamed {grown['stream']}, by from_json {grown['table']};", end=" ")
    print("the first, now of 99, is", grown["first"])
    assert grown["rows"] == 3 and grown["first"] == [0] * 4
    assert grown["stream"] == grown["table"] == 6
print("as described")
PY
