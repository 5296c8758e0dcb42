"""Scales multiply along the axis that their shape says, and no other shape is taken."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fbridge.errors import CheckpointError
from fbridge.files.scaled import find_aside, find_scales, multiply, scale_fault
from fbridge.files.tensors import open_weights, read_header

F8 = torch.float8_e4m3fn


@pytest.mark.parametrize(
    ("scale", "where"),
    [
        ((), "all"), ((1,), "all"), ((1, 1), "all"),
        ((8,), "rows"), ((8, 1), "rows"), ((8, 1, 1), "rows"), ((1, 16), "columns"),
        ((2, 4), "blocks"), ((8, 4), "row blocks"), ((8, 4, 1), "row blocks"),
    ],
)  # fmt: skip
def test_each_shape_has_its_axis(scale: tuple[int, ...], where: str) -> None:
    factors = torch.arange(1.0, 1 + torch.Size(scale).numel()).view(scale)
    product = multiply(torch.ones(8, 16).to(F8), factors, "w")
    row, column = 5, 9
    number = {
        "all": 0, "rows": row, "columns": column,
        "blocks": (row // 4) * 4 + column // 4, "row blocks": row * 4 + column // 4,
    }[where]  # fmt: skip
    assert product.dtype == torch.float32
    assert product[row, column] == 1 + number


def test_a_square_matrix_with_one_scale_a_row_is_not_scaled_by_columns() -> None:
    product = multiply(torch.ones(4, 4, dtype=torch.int8), torch.tensor([1.0, 2, 3, 4]), "w")
    assert torch.equal(product[:, 0], torch.tensor([1.0, 2, 3, 4]))
    convolution = multiply(torch.ones(4, 2, 1, 2, 2), torch.tensor([1.0, 2, 3, 4]), "w")
    assert torch.equal(convolution[:, 1, 0, 1, 1], torch.tensor([1.0, 2, 3, 4]))


@pytest.mark.parametrize(
    ("weight", "scale"),
    [
        ((8, 16), (16,)), ((8, 16), (4,)), ((8, 16), (2,)), ((8, 16), (3, 4)), ((8, 16), (16, 8)),
        ((12, 16), (2, 1)), ((12, 16), (4, 4)), ((8, 16), (2, 2, 2)), ((8, 2, 3), (8, 2)),
        ((8, 16), (0,)),
    ],
)  # fmt: skip
def test_other_shapes_are_refused(weight: tuple[int, ...], scale: tuple[int, ...]) -> None:
    assert scale_fault((weight, "int8"), (scale, "float32")).startswith("its shape is")
    with pytest.raises(CheckpointError, match=r"net\.w: its shape is"):
        multiply(torch.ones(weight), torch.ones(scale), "net.w")


def test_numbers_that_are_no_scales() -> None:
    assert (
        scale_fault(((4, 4), "uint8"), ((), "float32")) == "its numbers are uint8, several in one"
    )
    assert scale_fault(((4, 4), "int8"), ((4, 1), "uint8")) == "its scale is uint8"
    with pytest.raises(CheckpointError, match="w: its scale is not finite"):
        multiply(torch.ones(2, 2), torch.tensor(torch.inf), "w")


def test_names_of_scales_and_of_what_else_is_aside() -> None:
    held = ["a.weight", "a.scale_weight", "a.scale_input", "b.weight", "b.weight_scale", "b.bias"]
    held += ["b.comfy_quant", "net.scaled_fp8", "c.weight_scale", "a.weight_scale", "norm.scale"]
    assert find_scales(held) == {"a.weight": "a.scale_weight", "b.weight": "b.weight_scale"}
    left = set(held) - find_aside(held)
    assert left == {"a.weight", "b.weight", "b.bias", "c.weight_scale", "a.weight_scale",
                    "norm.scale"}  # fmt: skip


def test_a_file_is_read_one_tensor_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    wrong = {"b.weight": torch.ones(2, 2).to(F8), "b.scale_weight": torch.ones(3)}
    save_file({"a.weight": torch.full((2, 2), 4.0).to(F8), "a.scale_weight": torch.tensor(0.5),
               "c.bias": torch.ones(2), **wrong}, path)  # fmt: skip
    header, weights = read_header(path), open_weights(path)
    assert set(weights) == set(header.shapes) == {"a.weight", "b.weight", "c.bias"}
    assert header.scales == {"a.weight": ((), "float32"), "b.weight": ((3,), "float32")}
    assert torch.equal(weights["a.weight"], torch.full((2, 2), 2.0))
    with pytest.raises(CheckpointError, match=r"w\.safetensors: b\.weight: its shape is"):
        weights["b.weight"]
