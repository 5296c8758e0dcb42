"""A network's file that holds an autoencoder too: the components' must be the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from fbridge.errors import CheckpointError
from fbridge.loaders.inspect import inspect_model
from fbridge.loaders.load import load_pretrained
from fbridge.memory.model_sizes import model_sizes
from tests.backbones.original import ORIGINAL
from tests.pipelines import publish

Weights = dict[str, torch.Tensor]
_ENCODER = {
    "down_blocks.0.downsamplers.0": "down_blocks.1",
    "down_blocks.1.downsamplers.0": "down_blocks.4",
    "down_blocks.2.downsamplers.0": "down_blocks.7", "down_blocks.3.": "down_blocks.8.",
    "down_blocks.2.": "down_blocks.6.", "down_blocks.1.r": "down_blocks.3.r",
    "mid_block": "down_blocks.9",
}  # fmt: skip
_DECODER = {
    "up_blocks.3.upsamplers.0": "up_blocks.8", "up_blocks.3.r": "up_blocks.9.r",
    "up_blocks.2.upsamplers.0": "up_blocks.5", "up_blocks.2.r": "up_blocks.6.r",
    "up_blocks.1.upsamplers.0": "up_blocks.2", "up_blocks.1.r": "up_blocks.3.r",
    "up_blocks.0.r": "up_blocks.1.r", "mid_block": "up_blocks.0",
}  # fmt: skip


def makers(name: str) -> str:
    """A tensor of LTX-Video's autoencoder (0.9.0), as Lightricks name it: places count up."""
    rules = _ENCODER if name.startswith("encoder") else _DECODER
    found = next((old for old in rules if old in name), "")
    name = name.replace(found, rules[found]) if found else name
    name = name.replace("resnets", "res_blocks")
    return {
        "latents_mean": "per_channel_statistics.mean-of-means",
        "latents_std": "per_channel_statistics.std-of-means",
    }.get(name, name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish("ltx", tmp_path_factory.mktemp("own") / "ltx")


def whole(folder: Path, vae: Weights, path: Path) -> str:
    net = ORIGINAL["ltx"][1](load_file(folder / "transformer/diffusion_pytorch_model.safetensors"))
    held = {f"model.diffusion_model.{name}": tensor.contiguous() for name, tensor in net.items()}
    save_file({**held, **{f"vae.{makers(k)}": v.contiguous() for k, v in vae.items()}}, path)
    return str(path)


def own(folder: Path) -> Weights:
    return load_file(folder / "vae/diffusion_pytorch_model.safetensors")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_same_one_is_no_matter(dtype: torch.dtype, folder: Path, tmp_path: Path) -> None:
    path = whole(
        folder, {k: v.to(dtype) for k, v in own(folder).items()}, tmp_path / "f.safetensors"
    )
    told = inspect_model(path, components=str(folder))
    assert (told.refused, told.remark, set(told.others)) == ("", "", {"vae"})
    load_pretrained(path, components=str(folder))


@pytest.mark.parametrize("name", ["latents_std", "decoder.up_blocks.3.resnets.0.conv1.conv.bias"])
def test_another_one_is_refused_by_every_view(name: str, folder: Path, tmp_path: Path) -> None:
    held = own(folder)
    path = whole(folder, {**held, name: held[name] * 1.5 + 0.1}, tmp_path / "f.safetensors")
    told = f"is another one ({name} differs)"
    assert told in inspect_model(path, components=str(folder)).refused
    for view in (load_pretrained, model_sizes):
        with pytest.raises(CheckpointError) as caught:
            view(path, components=str(folder))
        assert told in str(caught.value)


def test_other_layers_are_refused(folder: Path, tmp_path: Path) -> None:
    held = own(folder)
    held["decoder.conv_in.conv.weight"] = torch.zeros(16, 128, 3, 3, 3)
    path = whole(folder, held, tmp_path / "f.safetensors")
    with pytest.raises(CheckpointError, match="with other layers than that of"):
        load_pretrained(path, components=str(folder))
    beside = folder / "beside.safetensors"  # found in its folder, without being named
    whole(folder, held, beside)
    with pytest.raises(CheckpointError, match="with other layers than that of"):
        load_pretrained(str(beside))
    beside.unlink()


def test_what_cannot_be_compared_is_said(tmp_path: Path) -> None:
    folder = publish("hunyuan", tmp_path / "hunyuan")
    net = load_file(folder / "transformer/diffusion_pytorch_model.safetensors")
    path = tmp_path / "f.safetensors"
    save_file({**net, "vae.decoder.strange.weight": torch.zeros(3)}, path)
    told = inspect_model(str(path), components=str(folder))
    assert told.refused == ""
    assert told.remark == (
        f"holds an autoencoder of its own, which is not read; that of {folder} is used"
    )
