#!/usr/bin/env bash
# torch 2.13.0, safetensors 0.8.0: torch.distributed.checkpoint.HuggingFaceStorageWriter on two processes
#
# The writer's default is save_distributed=False. With sharded tensors (DTensor, as FSDP2 makes them) on two processes
# both then write model-00001-of-00001.safetensors, each its own half, and the later one wins. Seen: no error; the file
# holds half of every tensor, with the half's shape; model.safetensors.index.json is written as if all were there, its
# total_size counts the bytes of both halves (96, of which the file keeps 48).
# With save_distributed=True there is a file a process and no index; both halves are there.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 safetensors==0.8.0 fsspec==2026.9.0 numpy==2.2.6
cat > "$work/save.py" <<'PY'
import json
import sys
import warnings
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
import torch.multiprocessing as mp
from safetensors import safe_open
from torch.distributed.checkpoint import HuggingFaceStorageWriter
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

FULL = {"a": torch.arange(8.0).reshape(4, 2), "b": torch.arange(8.0, 24.0).reshape(8, 2)}


def save(rank, folder, options):
    warnings.simplefilter("ignore")
    dist.init_process_group("gloo", init_method=f"file://{folder}.store", rank=rank, world_size=2)
    mesh = init_device_mesh("cpu", (2,))
    state = {name: distribute_tensor(value, mesh, [Shard(0)]) for name, value in FULL.items()}
    dcp.save(state, storage_writer=HuggingFaceStorageWriter(path=str(folder), **options))
    dist.destroy_process_group()


def stored(folder):
    """Numbers in all files, by tensor."""
    found = {name: [] for name in FULL}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in file.keys():
                found[name] += file.get_tensor(name).flatten().tolist()
    return found


if __name__ == "__main__":
    work = Path(sys.argv[1])
    mp.spawn(save, (work / "default", {}), 2)
    files = sorted(path.name for path in (work / "default").iterdir())
    assert files == ["model-00001-of-00001.safetensors", "model.safetensors.index.json"], files
    kept = stored(work / "default")
    assert [len(values) for values in kept.values()] == [4, 8], kept
    index = json.loads((work / "default" / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == 96 and set(index["weight_map"]) == {"a", "b"}, index
    mp.spawn(save, (work / "distributed", {"save_distributed": True}), 2)
    assert len(list((work / "distributed").glob("*.safetensors"))) == 2
    whole = stored(work / "distributed")
    assert whole == {name: value.flatten().tolist() for name, value in FULL.items()}, whole
    print("default keeps", {name: values for name, values in kept.items()}, "as described")
PY
"$work/venv/bin/python" "$work/save.py" "$work"
