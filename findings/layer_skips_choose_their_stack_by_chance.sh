#!/usr/bin/env bash
# diffusers 0.42.1: fqn="auto" of LayerSkipConfig on models with two stacks of layers, such as HunyuanVideo
#
# "auto", the default, takes the first stack that the model owns of the names blocks, layers, transformer_blocks,
# single_transformer_blocks, temporal_transformer_blocks and so on. But the names were made unique through a set, whose order
# is that of the strings' hashes, and Python draws these anew for every process. So "skip layer 1" is the second
# double-stream layer of HunyuanVideo in one process and the second single-stream layer in the next: with equal seeds,
# weights and settings the same program makes other videos, and two workers of one job differ. Seen with PYTHONHASHSEED from
# 0 to 5: both stacks occur, each with its own prediction, equal to that of the stack named by hand. Latte and Flux have two
# stacks, too. Nothing is logged above debug. Name the stack, fqn="transformer_blocks".
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 diffusers==0.42.1 numpy==2.2.6
cat > "$work/predict.py" <<'PY'
import json
import sys

import torch
from diffusers import HunyuanVideoTransformer3DModel
from diffusers.hooks import LayerSkipConfig, apply_layer_skip

torch.set_num_threads(1)
torch.manual_seed(0)
network = HunyuanVideoTransformer3DModel(
    in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=10, num_layers=2, num_single_layers=2,
    num_refiner_layers=1, patch_size=1, patch_size_t=1, text_embed_dim=16, pooled_projection_dim=8, rope_axes_dim=(2, 4, 4),
).eval()
config = LayerSkipConfig(indices=[1], fqn=sys.argv[1])
apply_layer_skip(network, config)
with torch.no_grad():
    prediction = network(
        torch.randn(1, 4, 2, 4, 4), torch.tensor([500]), torch.randn(1, 6, 16), torch.ones(1, 6), torch.randn(1, 8),
        guidance=torch.tensor([6000.0]), return_dict=False,
    )[0]
print(json.dumps([config.fqn, prediction.flatten()[:4].tolist()]))
PY
"$work/venv/bin/python" - "$work/predict.py" <<'PY'
import json
import os
import subprocess
import sys


def predict(stack, seed):
    done = subprocess.run(
        [sys.executable, sys.argv[1], stack], env={**os.environ, "PYTHONHASHSEED": str(seed)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


double, single = (predict(stack, 0) for stack in ("transformer_blocks", "single_transformer_blocks"))
assert double[1] != single[1]
seen = [predict("auto", seed) for seed in range(6)]
for seed, (stack, prediction) in enumerate(seen):
    print(seed, stack, prediction[:2])
    assert [stack, prediction] in (double, single)
assert double in seen and single in seen
print("as described")
PY
