"""Peak memory of the host while a base is loaded, in bytes a weight, beside an older commit's.

    python benchmarks/memory.py --loading [--base c74d782]

A network of Wan's kind with random weights is written in each form: 30 layers of 768 features, 287
million weights. A process of its own loads a tiny file of the same form, which imports all that is
needed, and then the network; the peak of its resident memory, pages of mapped files included, less
what it had before, is divided by the number of weights. GGUF needs gguf. Linux only.
"""

from __future__ import annotations

import ctypes
import gc
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

ROOT = Path(__file__).parents[1]
F8 = torch.float8_e4m3fn
_LARGE = {"num_attention_heads": 6, "ffn_dim": 3072, "num_layers": 30}
_TINY = {"num_attention_heads": 1, "ffn_dim": 128, "num_layers": 1}
_SHARED = {"attention_head_dim": 128, "text_dim": 16, "freq_dim": 256}
_SHARDS = 4
CASES = {
    "bf16 to bf16": ("bf16.safetensors", "bfloat16"),
    "bf16 in shards to bf16": ("shards/model.safetensors.index.json", "bfloat16"),
    "bf16 in a folder to bf16": ("folder", "bfloat16"),
    "bf16 .pt to bf16": ("bf16.pt", "bfloat16"),
    "bf16 for finetune --lora, bf16": ("bf16.safetensors", "lora"),
    "GGUF Q8_0 to bf16": ("q8.gguf", "bfloat16"),
    "fp8 to bf16": ("fp8.safetensors", "bfloat16"),
    "scaled fp8 to bf16": ("scaled.safetensors", "bfloat16"),
    "fp8 kept, --cast float8": ("fp8.safetensors", "float8"),
    "scaled fp8 kept, --cast float8": ("scaled.safetensors", "float8"),
    "bf16 to bf16, --cast float8": ("bf16.safetensors", "float8"),
}
"""What is loaded, and into what."""


def compare(base: str | None) -> None:
    """Print a line for each case: of this checkout and, if it is named, of another commit."""
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        for name, shape in (("large", _LARGE), ("tiny", _TINY)):
            _write(home / name, shape)
        checkouts = {"now": ROOT}
        if base is not None:
            checkouts[base] = home / "checkout"
            _git("worktree", "add", "--detach", str(home / "checkout"), base)
        print(f"{'peak bytes a weight':34}", *(f"{name:>9}" for name in checkouts))
        try:
            for case in CASES:
                found = [_measured(case, home, checkout) for checkout in checkouts.values()]
                print(f"{case:34}", *(f"{one:>9}" for one in found), flush=True)
        finally:
            if base is not None:
                _git("worktree", "remove", "--force", str(home / "checkout"))


def _git(*words: str) -> None:
    subprocess.run(["git", "-C", str(ROOT), *words], check=True, capture_output=True)


def _measured(case: str, home: Path, checkout: Path) -> str:
    """In a process of its own; "-" where that version cannot load it."""
    path = os.pathsep.join([str(checkout / "models"), str(checkout)])
    line = [sys.executable, str(Path(__file__)), str(home), *CASES[case]]
    env = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(line, env=env, cwd=home, capture_output=True, text=True)
    return f"{float(done.stdout):.2f}" if done.returncode == 0 else "-"


def _write(folder: Path, shape: dict[str, int]) -> None:
    """The network in all forms, and the other parts of its pipeline."""
    import diffusers
    from safetensors.torch import save_file

    from benchmarks.file_forms import small_pipeline

    torch.manual_seed(0)
    network = diffusers.WanTransformer3DModel(**_SHARED, **shape)
    held = {name: tensor.bfloat16() for name, tensor in network.state_dict().items()}
    small = small_pipeline()
    small.save_pretrained(folder)
    small.save_pretrained(folder / "folder")
    save_file(held, folder / "bf16.safetensors")
    torch.save(held, folder / "bf16.pt")
    network.to(torch.bfloat16).save_pretrained(folder / "folder/transformer")
    network.save_config(folder / "transformer")
    (folder / "transformer/diffusion_pytorch_model.safetensors").unlink()
    _write_shards(held, folder / "shards")
    save_file(_cast(held), folder / "fp8.safetensors")
    save_file(_cast(held, scaled=True), folder / "scaled.safetensors")
    _write_gguf(held, folder / "q8.gguf")


def _is_large(name: str, tensor: Tensor) -> bool:
    return tensor.ndim == 2 and name.startswith("blocks.")


def _cast(held: dict[str, Tensor], *, scaled: bool = False) -> dict[str, Tensor]:
    done = {}
    for name, tensor in held.items():
        done[name] = tensor
        if _is_large(name, tensor):
            scale = tensor.float().abs().max() / 448 if scaled else torch.tensor(1.0)
            done[name] = (tensor.float() / scale).to(F8)
            if scaled:
                done[f"{name.removesuffix('weight')}scale_weight"] = scale
    return done


def _write_shards(held: dict[str, Tensor], folder: Path) -> None:
    import json

    from safetensors.torch import save_file

    folder.mkdir()
    names = list(held)
    places: dict[str, str] = {}
    for number in range(_SHARDS):
        file = f"model-{number + 1:05d}-of-{_SHARDS:05d}.safetensors"
        own = names[number::_SHARDS]
        save_file({name: held[name] for name in own}, folder / file)
        places |= dict.fromkeys(own, file)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))


def _write_gguf(held: dict[str, Tensor], path: Path) -> None:
    import gguf

    kinds = gguf.GGMLQuantizationType
    writer = gguf.GGUFWriter(str(path), "wan")
    for name, tensor in held.items():
        numbers, kind = tensor.float().numpy(), kinds.F32
        if _is_large(name, tensor):
            kind = kinds.Q8_0
        if numbers.ndim > 4:
            sides = [int(side) for side in numbers.shape]
            writer.add_array(f"comfy.gguf.orig_shape.{name}", sides)
            numbers = numbers.reshape(len(numbers), -1)
        writer.add_tensor(name, gguf.quants.quantize(numbers, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _loader(kind: str) -> Callable[[Path, Path], Any]:
    """What loads a file with its other parts, in this version or an older one."""
    try:
        from fbridge.loaders.load import load_pretrained as load
    except ImportError:  # before 0.1.0
        from fbridge.bases import load_base as load  # type: ignore[import-not-found,no-redef]
    if kind == "lora":
        try:
            from fbridge.train.setup.base import load_base as load_for_training
        except ImportError:
            return lambda file, parts: load(str(file), components=_parts(file, parts))
        from fbridge.config.tree import Config

        def trained(file: Path, parts: Path) -> Any:
            config = {"base": str(file), "components": _parts(file, parts), "lora": {"rank": 16},
                      "train": {"precision": "bf16"}}  # fmt: skip
            return load_for_training(Config.model_validate(config))

        return trained
    return lambda file, parts: load(
        str(file), components=_parts(file, parts), dtype=torch.bfloat16, **_kept(kind)
    )


def _parts(file: Path, parts: Path) -> str | None:
    return None if file.is_dir() else str(parts)


def _kept(kind: str) -> dict[str, Any]:
    """Options of a loader that keeps weights in float8."""
    if kind != "float8":
        return {}
    from fbridge.files.modules import Kept
    from fbridge.memory.apply import layer_shrinker
    from fbridge.memory.options import MemoryOptions

    finish = layer_shrinker(MemoryOptions(cast="float8"))
    return {"kept": Kept(torch.bfloat16, finish=finish)}


def _resident(key: str) -> int:
    """Bytes of this process's memory: VmRSS now, VmHWM at its peak."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("this system does not tell the memory of a process")


def _child(home: Path, file: str, kind: str) -> None:
    load = _loader(kind)
    load(home / "tiny" / file, home / "tiny")
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # begins the peak anew
    before = _resident("VmRSS")
    base = load(home / "large" / file, home / "large")
    weights = sum(tensor.numel() for tensor in base.transformer.state_dict().values())
    print((_resident("VmHWM") - before) / weights)


if __name__ == "__main__":
    _child(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
