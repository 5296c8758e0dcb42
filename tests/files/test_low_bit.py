"""Weights in few bits: plain casts and scaled ones load; what cannot be read is refused by name."""

from __future__ import annotations

import json
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

F8, F8_WIDE = torch.float8_e4m3fn, torch.float8_e5m2
LARGEST = {F8: 448.0, F8_WIDE: 57344.0, torch.int8: 127.0}
ROUNDING = {F8: 0.05, F8_WIDE: 0.1, torch.int8: 0.01}
Weights = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish("wan", tmp_path_factory.mktemp("low") / "wan")


@pytest.fixture(scope="module")
def weights(folder: Path) -> Weights:
    return load_file(folder / "transformer/diffusion_pytorch_model.safetensors")


def is_linear(name: str, tensor: torch.Tensor) -> bool:
    return tensor.ndim == 2 and "blocks." in name


def form(text: dict[str, Any]) -> torch.Tensor:
    return torch.tensor(list(json.dumps(text).encode()), dtype=torch.uint8)


def divided(
    held: Weights,
    kind: torch.dtype,
    scale: str = "",
    *,
    rows: bool = False,
    beside: Weights | None = None,
) -> Weights:
    """The blocks' matrices over their scales, which lie beside them under a name, or nowhere.

    Args:
        held: to be divided.
        kind: of the result.
        scale: last part of the scales' names.
        rows: one scale a row.
        beside: further tensors of each layer.
    """
    done = {}
    for name, tensor in held.items():
        if not is_linear(name, tensor):
            done[name] = tensor
            continue
        most = tensor.abs().amax(1, keepdim=True) if rows else tensor.abs().max()
        by = most / LARGEST[kind]
        stored = tensor / by
        done[name] = (stored.round() if kind == torch.int8 else stored).to(kind)
        home = name.removesuffix("weight")
        done |= {f"{home}{scale}": by} if scale else {}
        done |= {f"{home}{part}": value.clone() for part, value in (beside or {}).items()}
    return done


def every_view_says(path: Path, folder: Path, why: str) -> None:
    assert why in inspect_model(str(path), components=str(folder)).refused
    for view in (load_pretrained, model_sizes):
        with pytest.raises(CheckpointError) as caught:
            view(str(path), components=str(folder))
        assert why in str(caught.value)
        assert "take the file in bfloat16" in str(caught.value)


def worst_error(path: Path, folder: Path, exact: Weights) -> float:
    """Of a base's weights against those that it was made of."""
    assert inspect_model(str(path), components=str(folder)).refused == ""
    model_sizes(str(path), components=str(folder))
    near = load_pretrained(str(path), components=str(folder)).transformer.state_dict()
    assert near.keys() == exact.keys()
    return max(float((near[k] - exact[k]).norm() / exact[k].norm()) for k in exact)


@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize("kind", list(LARGEST))
def test_scaled_weights_are_multiplied_by_their_scales(
    kind: torch.dtype, folder: Path, weights: Weights, tmp_path: Path, *, rows: bool
) -> None:
    path = tmp_path / "low.safetensors"
    name = "int8_tensorwise" if kind == torch.int8 else str(kind).removeprefix("torch.")
    options = {"comfy_quant": form({"format": name}), "input_scale": torch.tensor(0.3)}
    save_file(divided(weights, kind, "weight_scale", rows=rows, beside=options), path)
    assert 0 < worst_error(path, folder, weights) < ROUNDING[kind]
    told = inspect_model(str(path), components=str(folder)).dtypes
    assert told[f"{str(kind).removeprefix('torch.')} with scales"] == 20


@pytest.mark.parametrize("marked", [0, 2])
def test_the_older_form_under_the_makers_names(
    marked: int, folder: Path, weights: Weights, tmp_path: Path
) -> None:
    prefix, path = "model.diffusion_model.", tmp_path / "low.safetensors"
    theirs = divided(
        ORIGINAL["wan"][1](weights), F8, "scale_weight", beside={"scale_input": torch.ones(1)}
    )
    mark = {f"{prefix}scaled_fp8": torch.zeros(marked, dtype=F8)}
    save_file({**{prefix + name: held for name, held in theirs.items()}, **mark}, path)
    assert 0 < worst_error(path, folder, weights) < ROUNDING[F8]


def test_the_one_scale_of_a_fused_layer_serves_its_pieces(tmp_path: Path) -> None:
    """HunyuanVideo's qkv, which is split when names are converted; scales in a second file."""
    folder = publish("hunyuan", tmp_path / "hunyuan")
    held = load_file(folder / "transformer/diffusion_pytorch_model.safetensors")
    theirs = divided(ORIGINAL["hunyuan"][1](held), F8, "weight_scale")
    scales = {k.removesuffix(".weight_scale"): v for k, v in theirs.items() if "_scale" in k}
    assert "double_blocks.0.img_attn_qkv" in scales
    path, beside = tmp_path / "states_fp8.pt", tmp_path / "states_fp8_map.pt"
    torch.save({"module": {k: v for k, v in theirs.items() if "_scale" not in k}}, path)
    every_view_says(path, folder, "which are not in it (HunyuanVideo's lie beside it, in states_fp")
    torch.save(scales, beside)
    assert 0 < worst_error(path, folder, held) < ROUNDING[F8]
    torch.save({**scales, "double_blocks.7.img_mlp": torch.ones(1)}, beside)
    with pytest.raises(
        CheckpointError, match=r"_map\.pt: has a scale for double_blocks\.7\.img_ml"
    ):
        load_pretrained(str(path), components=str(folder))


@pytest.mark.parametrize(
    ("kind", "scale", "beside", "why"),
    [
        (F8, "", {}, "divided by scales, which are not in it"),
        (F8_WIDE, "", {}, "divided by scales, which are not in it"),
        (torch.int8, "", {}, "holds integers as weights (blocks.0."),
        (F8, "scale", {}, "divided by scales, which are not in it"),
        (F8, "weight_scale", {"weight_scale_2": torch.ones(())}, "not read: nvfp4 (blocks."),
        (torch.int8, "weight_scale", {"pre_quant_scale": torch.ones(24)}, "not read: scaled by"),
        (F8, "weight_scale", {"scale_weight": torch.ones(())}, "not read: a scale of no weight, o"),
        (F8, "weight_scale", {"comfy_quant": form({"format": "mxfp8"})}, "not read: mxfp8 (bloc"),
        (torch.int8, "weight_scale", {"comfy_quant": form(
            {"format": "int8_tensorwise", "convrot": True, "convrot_groupsize": 256}
        )}, "not read: ConvRot, whose weights are rotated (blocks.0."),
        (F8, "weight_scale", {"comfy_quant": form({"format": "int8", "zero_point": 3})},
         "not read: int8 with 'zero_point' (blocks"),
        (F8, "", {"comfy_quant": form({"format": "float8_e5m2"})}, "no scale is there for bloc"),
        (F8, "weight_scale", {"comfy_quant": torch.ones(3, dtype=torch.uint8)}, "no JSON object"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_by_every_view(
    kind: torch.dtype, scale: str, beside: Weights, why: str,
    folder: Path, weights: Weights, tmp_path: Path,
) -> None:  # fmt: skip
    path = tmp_path / "low.safetensors"
    save_file(divided(weights, kind, scale, beside=beside), path)
    every_view_says(path, folder, why)


def test_the_files_metadata_tells_the_form_too(
    folder: Path, weights: Weights, tmp_path: Path
) -> None:
    path = tmp_path / "low.safetensors"
    held = divided(weights, F8, "weight_scale")
    for name, why in (("float8_e4m3fn", ""), ("nvfp4", "nvfp4 (blocks.0.ffn.net.2._quant")):
        layers = {"blocks.0.ffn.net.2": {"format": name}}
        save_file(held, path, {"_quantization_metadata": json.dumps({"layers": layers})})
        if why:
            every_view_says(path, folder, why)
        else:
            assert worst_error(path, folder, weights) < ROUNDING[F8]
    save_file(held, path, {"_quantization_metadata": "[]"})
    every_view_says(path, folder, "a form that is no JSON object (_quantization_metadata)")


def test_a_scale_of_an_odd_shape_is_refused(folder: Path, weights: Weights, tmp_path: Path) -> None:
    path, name = tmp_path / "low.safetensors", "blocks.1.ffn.net.2.weight"
    held = divided(weights, F8, "weight_scale")
    save_file({**held, f"{name}_scale": torch.ones(5)}, path)
    every_view_says(path, folder, f"{name}: its shape is [24, 32] and that of its scale [5]")
    save_file({**held, name: torch.ones(24, 16, dtype=torch.uint8)}, path)
    every_view_says(path, folder, f"{name}: its numbers are uint8, several in one")


@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize("kind", [F8, F8_WIDE])
def test_a_plain_cast_loads(
    kind: torch.dtype, folder: Path, weights: Weights, tmp_path: Path, *, every: bool
) -> None:
    def cast(name: str, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(kind) if every or is_linear(name, tensor) else tensor.half()

    path = tmp_path / "cast.safetensors"
    save_file({name: cast(name, tensor) for name, tensor in weights.items()}, path)
    assert 0 < worst_error(path, folder, weights) < 0.1


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
    save_file(divided(weights, F8, "weight_scale"), path)
    assert 0 < worst_error(tmp_path / "wan", folder, weights) < ROUNDING[F8]
    save_file(divided(weights, F8, "weight_scale", beside={"weight_scale_2": torch.ones(())}), path)
    kind: Any = type(load_pretrained(str(folder)).transformer)
    with pytest.raises(CheckpointError, match="nvfp4"):
        load_folder(kind, tmp_path / "wan/transformer")
    words = tmp_path / "wan/text_encoder/model.safetensors"
    held = load_file(words)
    name = next(name for name in held if name.endswith("q.weight"))
    save_file({**held, f"{name}_scale_2": torch.ones(1)}, words)
    with pytest.raises(CheckpointError, match=r"not read: nvfp4 .*weight_scale_2"):
        load_text_encoder(str(tmp_path / "wan"))
