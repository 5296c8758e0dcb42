#!/usr/bin/env bash
# diffusers 0.42.1: two model folders, each with its own pipeline file of the same name, in one process
#
# Exported models that bring their own pipeline (custom_pipeline=FOLDER, trust_remote_code=True) usually call the file
# pipeline.py. diffusers copies it into one module of its cache, whatever folder it came from, and executes that module again
# in place when the file has changed. So loading a second folder changes the first pipeline, which is in use: its methods
# look up the second file's globals. Below, the files differ in one constant; after the second load both pipelines have the
# second's. Nothing is raised or logged. A pipeline file that may lie beside another version of itself should keep every
# number in model_index.json, and none in the module.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 diffusers==0.42.1 transformers==5.24.0 numpy==2.2.6
cd "$work"
HF_HOME="$work/hf" HF_HUB_OFFLINE=1 "$work/venv/bin/python" - <<'PY'
from pathlib import Path

from diffusers import DiffusionPipeline

CODE = """from diffusers import DiffusionPipeline

SCALE = {scale}


class Scaled(DiffusionPipeline):
    def __init__(self):
        super().__init__()

    def __call__(self):
        return SCALE
"""


def load(name, scale):
    folder = Path(name).resolve()
    folder.mkdir()
    (folder / "pipeline.py").write_text(CODE.format(scale=scale))
    (folder / "model_index.json").write_text('{"_class_name": "Scaled"}')
    return DiffusionPipeline.from_pretrained(str(folder), custom_pipeline=str(folder), trust_remote_code=True)


first = load("a", 1)
alone = first()
second = load("b", 2)
print("first alone:", alone, "- after the second is loaded: first", first(), "second", second())
assert (alone, first(), second()) == (1, 2, 2)
PY
