#!/usr/bin/env bash
# peft 0.21.2: add_weighted_adapter of LoRAs with use_rslora=True
#
# A weighted adapter is the sum of others, each with a weight; combination_type="cat" is exact, and the new adapter's alpha is
# its rank, so that its own scale is 1. Rank-stabilized LoRAs divide alpha by the root of the rank, and the new adapter takes
# use_rslora over: its scale is the root of its rank. Seen: joined by "cat", two LoRAs of ranks 4 and 2 act 2.45 times as
# strong as their sum, of ranks 32 and 32 8 times, a weight of 0.5 or -1 alike, on linear layers and on Conv3d; "svd" and
# "linear" do likewise (2 times at rank 4). One adapter alone with weight 1, a copy, acts 2 times as strong at rank 4. Without
# use_rslora all are right. Nothing is raised, warned or logged. Weights divided by the root of the new rank make up for it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 peft==0.21.2 transformers==5.24.0 numpy==2.2.6
OMP_NUM_THREADS=1 "$work/venv/bin/python" - <<'PY'
import warnings

import torch
from peft import LoraConfig, get_peft_model
from torch import nn

warnings.simplefilter("error")


def strength(ranks, weights, kind, rslora, way="linear"):
    """Of the joined adapter's change of the weight along the sum of the others' changes, and what is off that line."""
    torch.manual_seed(0)
    layer = nn.Conv3d(8, 8, 3, padding=1) if kind == "convolution" else nn.Linear(64, 64)
    names = [f"a{index}" for index in range(len(ranks))]
    configs = [LoraConfig(r=rank, lora_alpha=16, target_modules=["0"], use_rslora=rslora) for rank in ranks]
    model = get_peft_model(nn.Sequential(layer), configs[0], adapter_name=names[0])
    for name, config in zip(names[1:], configs[1:], strict=True):
        model.add_adapter(name, config)
    for name, weight in model.named_parameters():
        if "lora_" in name:
            weight.data.normal_(std=0.1)
    model.add_weighted_adapter(names, weights, "joined", combination_type=way)
    adapted = model.base_model.model[0]
    with torch.no_grad():
        wanted = sum(weight * adapted.get_delta_weight(name) for name, weight in zip(names, weights, strict=True))
        found = adapted.get_delta_weight("joined")
    factor = float((found * wanted).sum() / (wanted * wanted).sum())
    return factor, float((found - factor * wanted).norm() / found.norm())


for kind in ("linear", "convolution"):
    for ranks, expected in (((4, 2), 6**0.5), ((32, 32), 8.0)):
        for weights in ([1.0, 1.0], [0.5, -1.0]):
            with_root, rest = strength(ranks, weights, kind, True, "cat")
            without, other = strength(ranks, weights, kind, False, "cat")
            print(kind, ranks, weights, f"{with_root:.4f} times as strong, without use_rslora {without:.4f}")
            assert abs(with_root / expected - 1) < 1e-3 and abs(without - 1) < 1e-3 and rest < 1e-3 and other < 1e-3
    for way in ("cat", "linear"):
        assert abs(strength((4,), [1.0], kind, True, way)[0] - 2) < 1e-3
        assert abs(strength((4,), [1.0], kind, False, way)[0] - 1) < 1e-3
assert abs(strength((4,), [1.0], "linear", True, "svd")[0] - 2) < 1e-3
assert abs(strength((4,), [1.0], "linear", False, "svd")[0] - 1) < 1e-3
print("as described")
PY
