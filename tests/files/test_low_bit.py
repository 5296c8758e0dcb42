"""Weights in few bits: a plain cast loads; what needs scales is refused, with or without them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from fbridge.errors import CheckpointError
from fbridge.files.low_bit import low_bit_refusal
from fbridge.files.modules import load_folder
from fbridge.files.tensors import read_header
from fbridge.loaders.inspect import inspect_model
from fbridge.loaders.load import load_pretrained
from fbridge.loaders.text_encoder import load_text_encoder
from fbridge.memory.model_sizes import model_sizes
from tests.backbones.original import ORIGINAL
from tests.pipelines import publish

F8 = torch.float8_e4m3fn
Weights = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish("wan", tmp_path_factory.mktemp("low") / "wan")


@pytest.fixture(scope="module")
def weights(folder: Path) -> Weights:
    return load_file(folder / "transformer/diffusion_pytorch_model.safetensors")


def is_linear(name: str, tensor: torch.Tensor) -> bool:
    return tensor.ndim == 2 and name.startswith("blocks.")


def divided(held: Weights, kind: torch.dtype, largest: float, scale: str = "") -> Weights:
    """The blocks' matrices over their scales, which lie beside them under a name, or nowhere."""
    done = {}
    for name, tensor in held.items():
        if not is_linear(name, tensor):
            done[name] = tensor
            continue
        by = tensor.abs().max() / largest
        done[name] = (
            (tensor / by).round().to(kind) if kind == torch.int8 else (tensor / by).to(kind)
        )
        if scale:
            done[f"{name.removesuffix('weight')}{scale}"] = by
    return done


def every_view_says(path: Path, folder: Path, why: str) -> None:
    assert why in inspect_model(str(path), components=str(folder)).refused
    for view in (load_pretrained, model_sizes):
        with pytest.raises(CheckpointError) as caught:
            view(str(path), components=str(folder))
        assert why in str(caught.value)
        assert "take the file in bfloat16" in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "largest", "scale", "why"),
    [
        (F8, 448.0, "scale_weight", "need scales (blocks.0."),
        (F8, 448.0, "weight_scale", "need scales (blocks.0."),
        (F8, 448.0, "", "divided by scales, which are not in it"),
        (torch.float8_e5m2, 57344.0, "", "divided by scales, which are not in it"),
        (torch.int8, 127.0, "weight_scale", "need scales (blocks.0."),
        (torch.int8, 127.0, "", "holds integers as weights (blocks.0."),
    ],
)
def test_divided_weights_are_refused_by_every_view(
    kind: torch.dtype, largest: float, scale: str, why: str,
    folder: Path, weights: Weights, tmp_path: Path,
) -> None:  # fmt: skip
    path = tmp_path / "low.safetensors"
    save_file(divided(weights, kind, largest, scale), path)
    every_view_says(path, folder, why)


def test_a_metadata_entry_and_a_marker_tell_it_too(folder: Path, weights: Weights, tmp_path: Path
) -> None:  # fmt: skip
    plain = {k: v.to(F8) if is_linear(k, v) else v for k, v in weights.items()}
    path = tmp_path / "low.safetensors"
    save_file(plain, path, {"_quantization_metadata": '{"layers": {}}'})
    every_view_says(path, folder, "need scales (_quantization_metadata in its header)")
    prefix = "model.diffusion_model."
    marked = {prefix + k: v for k, v in ORIGINAL["wan"][1](plain).items()}
    save_file({**marked, f"{prefix}scaled_fp8": torch.zeros(0, dtype=F8)}, path)
    every_view_says(path, folder, f"need scales ({prefix}scaled_fp8)")


def test_scales_in_a_second_file_are_named(tmp_path: Path) -> None:
    folder = publish("hunyuan", tmp_path / "hunyuan")
    held = load_file(folder / "transformer/diffusion_pytorch_model.safetensors")
    theirs = ORIGINAL["hunyuan"][1](held)
    low: Weights = {}
    for name, tensor in theirs.items():
        block = name.startswith(("double_blocks.", "single_blocks.")) and tensor.ndim == 2
        low[name] = (tensor / tensor.abs().max() * 448).to(F8) if block else tensor.bfloat16()
    path = tmp_path / "states_fp8.pt"
    torch.save({"module": low}, path)
    torch.save({"scales": torch.ones(1)}, tmp_path / "states_fp8_map.pt")
    every_view_says(path, folder, "which lie in states_fp8_map.pt and are not read")


@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize("kind", [F8, torch.float8_e5m2])
def test_a_plain_cast_loads(
    kind: torch.dtype, every: bool, folder: Path, weights: Weights, tmp_path: Path
) -> None:
    def cast(name: str, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(kind) if every or is_linear(name, tensor) else tensor.half()

    path = tmp_path / "cast.safetensors"
    save_file({name: cast(name, tensor) for name, tensor in weights.items()}, path)
    assert inspect_model(str(path), components=str(folder)).refused == ""
    model_sizes(str(path), components=str(folder))
    near = load_pretrained(str(path), components=str(folder)).transformer.state_dict()
    name = "blocks.0.attn1.to_q.weight"
    assert 0 < (near[name] - weights[name]).norm() / weights[name].norm() < 0.1


def test_one_layer_of_large_numbers_is_no_sign_of_scales(weights: Weights, tmp_path: Path) -> None:
    path = tmp_path / "cast.safetensors"
    held = {k: v.to(F8) if is_linear(k, v) else v for k, v in weights.items()}
    held["blocks.0.attn1.to_q.weight"] = torch.full((24, 24), 440.0).to(F8)
    save_file(held, path)
    assert low_bit_refusal(path, read_header(path)) == ""


def test_a_folders_scales_are_not_left_out(folder: Path, weights: Weights, tmp_path: Path) -> None:
    """Libraries drop tensors that they do not know."""
    shutil.copytree(folder, tmp_path / "wan")
    path = tmp_path / "wan/transformer/diffusion_pytorch_model.safetensors"
    save_file(divided(weights, F8, 448.0, "weight_scale"), path)
    every_view_says(tmp_path / "wan", folder, "need scales (blocks.0.")
    kind: Any = type(load_pretrained(str(folder)).transformer)
    with pytest.raises(CheckpointError, match="need scales"):
        load_folder(kind, tmp_path / "wan/transformer")
    words = tmp_path / "wan/text_encoder/model.safetensors"
    held = load_file(words)
    name = next(name for name in held if name.endswith("q.weight"))
    save_file({**held, f"{name.removesuffix('weight')}scale_weight": torch.ones(1)}, words)
    with pytest.raises(CheckpointError, match=r"need scales .*scale_weight"):
        load_text_encoder(str(tmp_path / "wan"))
