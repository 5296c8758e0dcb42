"""Where what bare weights lack is looked for, and what is said where it is nowhere."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from PIL import Image
from safetensors.torch import load_file, save_file

from fbridge.backbones.checkpoint_layout import Variant
from fbridge.backbones.wan import FAMILY as WAN
from fbridge.errors import CheckpointError
from fbridge.loaders.components import find_components as find
from fbridge.loaders.inspect import inspect_model
from fbridge.loaders.load import load_pretrained
from fbridge.pipeline import FrameBridgePipeline
from tests.backbones.original import ORIGINAL
from tests.bases import diffusers_folder
from tests.pipelines import publish

find_components = partial(find, needed=WAN.required_files)
ONE = Variant("Small 1B", ("owner/small",), {})
TWO = Variant("Small 2B", ("owner/old", "owner/new"), {})


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """A hub's cache; tells what was asked of the hub."""

    def make(cached: dict[str, Path], online: dict[str, Path] | None = None) -> list[Any]:
        asked = []

        def snapshot(name: str, *, local_files_only: bool = False, **_: Any) -> str:
            if local_files_only:
                if name in cached:
                    return str(cached[name])
                raise LocalEntryNotFoundError(f"{name} is not cached")
            asked.append(name)
            if online is None or name not in online:
                raise OSError("no connection")
            return str(online[name])

        monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
        return asked

    return make


def test_beside_the_file_before_anything_else(tmp_path: Path, hub: Any) -> None:
    folder = diffusers_folder(tmp_path / "cog")
    asked = hub({"owner/small": tmp_path / "elsewhere"})
    for path in (folder / "x.safetensors", folder / "transformer/x.safetensors"):
        assert find_components(path, given=None, variant=ONE, download=True) == folder
    assert find_components(tmp_path / "x.safetensors", given=str(folder), variant=None) == folder
    assert asked == []


def test_the_cache_of_the_hub_before_the_hub(tmp_path: Path, hub: Any) -> None:
    folder, path = diffusers_folder(tmp_path / "cog"), tmp_path / "far/x.safetensors"
    asked = hub({"owner/small": folder, "owner/new": folder})
    assert find_components(path, given=None, variant=ONE, download=True) == folder
    assert find_components(path, given=None, variant=TWO) == folder
    assert find_components(path, given="owner/new", variant=None) == folder
    assert asked == []
    (folder / "vae/config.json").unlink()
    with pytest.raises(CheckpointError, match=r"Small 1B.*fetch them from owner/small with --down"):
        find_components(path, given=None, variant=ONE)


def test_nothing_is_fetched_unasked_or_where_it_is_not_sure_what(tmp_path: Path, hub: Any) -> None:
    folder, path = diffusers_folder(tmp_path / "cog"), tmp_path / "far/x.safetensors"
    asked = hub({}, {"owner/small": folder, "owner/old": folder})
    with pytest.raises(CheckpointError, match=r"--components, or fetch them from owner/small with"):
        find_components(path, given=None, variant=ONE)
    with pytest.raises(CheckpointError, match=r"owner/old and owner/new have .their autoencoders"):
        find_components(path, given=None, variant=TWO, download=True)
    with pytest.raises(CheckpointError, match="'owner/old' are not in the hub's cache"):
        find_components(path, given="owner/old", variant=TWO)
    with pytest.raises(CheckpointError, match=r"of a transformer; name a folder that has vae/"):
        find_components(path, given=None, variant=None, download=True)
    assert asked == []
    assert find_components(path, given=None, variant=ONE, download=True) == folder
    assert find_components(path, given="owner/old", variant=TWO, download=True) == folder
    assert asked == ["owner/small", "owner/old"]
    with pytest.raises(CheckpointError, match="owner/none: cannot be had from the hub: no conn"):
        find_components(path, given="owner/none", variant=None, download=True)
    hub({"owner/old": folder, "owner/new": folder})
    with pytest.raises(CheckpointError, match="more than one is in the cache"):
        find_components(path, given=None, variant=TWO)


def test_a_damaged_download_is_found_by_its_hash_and_dropped(tmp_path: Path, hub: Any) -> None:
    folder, blobs = diffusers_folder(tmp_path / "cog"), tmp_path / "blobs"
    blobs.mkdir()
    weights = folder / "vae/diffusion_pytorch_model.safetensors"
    blob = blobs / hashlib.sha256(weights.read_bytes()).hexdigest()
    weights.rename(blob)
    weights.symlink_to(blob)
    path = tmp_path / "far/x.safetensors"
    hub({}, {"owner/small": folder})
    assert find_components(path, given=None, variant=ONE, download=True) == folder
    data = bytearray(blob.read_bytes())
    data[-1] ^= 1
    blob.write_bytes(data)
    with pytest.raises(CheckpointError, match="was damaged on its way"):
        find_components(path, given=None, variant=ONE, download=True)
    assert not blob.exists()


@pytest.mark.parametrize("name", ORIGINAL)
def test_a_makers_own_file_is_the_same_base(name: str, tmp_path: Path) -> None:
    folder = publish(name, tmp_path / "pipeline")
    whole = load_pretrained(str(folder))
    prefix, rename = ORIGINAL[name]
    weights = load_file(folder / "transformer/diffusion_pytorch_model.safetensors")
    path = tmp_path / "theirs.safetensors"
    save_file({prefix + k: v.contiguous() for k, v in rename(weights).items()}, path)
    base = load_pretrained(str(path), components=str(folder))
    assert (base.family, base.noise_schedule, base.frames) == (
        whole.family,
        whole.noise_schedule,
        whole.frames,
    )
    held, wanted = base.transformer.state_dict(), whole.transformer.state_dict()
    assert held.keys() == wanted.keys()
    assert all(torch.equal(held[key], wanted[key]) for key in wanted)

    shutil.rmtree(folder / "transformer")
    with pytest.raises(CheckpointError, match=r"no published model.*transformer/config\.json"):
        load_pretrained(str(path), components=str(folder))


def test_a_quantised_gguf_file_is_a_base_too(tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    folder = publish("ltx", tmp_path / "pipeline")
    weights = load_file(folder / "transformer/diffusion_pytorch_model.safetensors")
    held = ORIGINAL["ltx"][1](weights)
    path = tmp_path / "ltx-q8.gguf"
    writer = gguf.GGUFWriter(path, "ltxv")
    eight = gguf.GGMLQuantizationType.Q8_0
    for name, tensor in held.items():
        if tensor.ndim == 2 and tensor.shape[1] % 32 == 0:
            packed = gguf.quants.quantize(tensor.numpy(), eight)
            writer.add_tensor(name, packed, raw_dtype=eight)
        else:
            writer.add_tensor(name, tensor.flatten().numpy())
            writer.add_array(f"comfy.gguf.orig_shape.{name}", list(tensor.shape))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    told = inspect_model(str(path), components=str(folder))
    assert (told.family, told.style, set(told.dtypes)) == ("ltx", "original", {"f32", "q8_0"})
    base = load_pretrained(str(path), components=str(folder))
    near = base.transformer.state_dict()
    exact = load_pretrained(str(folder)).transformer.state_dict()
    assert near.keys() == exact.keys()
    gaps = [float((near[k] - exact[k]).abs().max() / exact[k].abs().max()) for k in exact]
    assert 0 < max(gaps) < 0.01
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(CheckpointError, match="is broken or cut off"):
        load_pretrained(str(path), components=str(folder))


@pytest.mark.parametrize("name", ["wan", "cogvideox"])
def test_half_precision_is_loaded_as_such_and_makes_nearly_the_same(
    name: str, tmp_path: Path
) -> None:
    folder = publish(name, tmp_path / "pipeline")
    file = folder / "transformer/diffusion_pytorch_model.safetensors"
    made = []
    for model in (folder, file):
        for dtype in (torch.float32, torch.bfloat16):
            pipe = FrameBridgePipeline.from_pretrained(model, dtype=dtype)
            held = {part.dtype for part in (pipe.transformer, pipe.vae, pipe.text_encoder)}
            assert held == {dtype}
            exact = getattr(type(pipe.transformer), "_keep_in_fp32_modules", None) or []
            for key, value in pipe.transformer.named_parameters():
                kept = any(part in key.split(".") for part in exact)
                assert value.dtype == (torch.float32 if kept else dtype), key
            picture = Image.new("RGB", (64, 64), (200, 120, 40))
            made.append(
                pipe(picture, "a cat", num_frames=9, size=(64, 64), num_inference_steps=2).latents
            )
    assert torch.equal(made[0], made[2])
    assert torch.equal(made[1], made[3])
    assert 0 < float((made[1].float() - made[0]).norm() / made[0].norm()) < 0.1
