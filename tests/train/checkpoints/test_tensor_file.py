"""Our safetensors files, read back by the safetensors library itself."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from fbridge.train.checkpoints.tensor_file import write_tensors


def every_kind() -> dict[str, Tensor]:
    shared = torch.randn(6, 5)
    numbers = torch.arange(-3, 9)
    kinds = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
    whole = [torch.int64, torch.int32, torch.int16, torch.int8, torch.bool]
    return {
        **{str(kind): torch.randn(3, 7).to(kind) for kind in kinds},
        **{str(kind): numbers.to(kind) for kind in whole},
        "bytes": torch.randint(0, 256, (11,), dtype=torch.uint8),
        "float8": torch.randn(5).to(torch.float8_e4m3fn),
        "scalar": torch.tensor(3.0),
        "nothing": torch.zeros(0, 4),
        "odd values": torch.tensor([float("nan"), float("inf"), -0.0]),
        "turned": torch.randn(4, 3).t(),
        "every second": torch.randn(8)[::2],
        "shared": shared,
        "tied": shared,
        "a part of it": shared[2:4],
        "ünïcode": torch.ones(1),
    }


def same(first: Tensor, second: Tensor) -> bool:
    bits = [t.contiguous().reshape(-1).view(torch.uint8) for t in (first, second)]
    return (
        first.dtype == second.dtype
        and first.shape == second.shape
        and torch.equal(bits[0], bits[1])
    )


def test_the_library_reads_back_every_bit(tmp_path: Path) -> None:
    tensors = every_kind()
    path = tmp_path / "x.safetensors"
    written = write_tensors(path, tensors, {"a": [1, 2]})
    again = load_file(path)
    assert again.keys() == tensors.keys()
    assert [name for name in tensors if not same(tensors[name], again[name])] == []
    assert written.bytes == path.stat().st_size
    assert written.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    with safe_open(path, framework="pt") as file:
        assert file.metadata() == {"fbridge": '{"a":[1,2]}'}


def test_another_dtype_is_that_of_the_cast(tmp_path: Path) -> None:
    tensors = {"x": torch.randn(40), "y": torch.randn(3).double()}
    write_tensors(tmp_path / "x.safetensors", tensors, {}, dtype=torch.float16)
    again = load_file(tmp_path / "x.safetensors")
    assert all(same(tensors[name].half(), again[name]) for name in tensors)


def test_a_dtype_without_a_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'z'.*complex64"):
        write_tensors(tmp_path / "x", {"z": torch.zeros(2, dtype=torch.complex64)}, {})


def test_writing_draws_no_random_number(tmp_path: Path) -> None:
    tensors = every_kind()
    before = torch.get_rng_state()
    write_tensors(tmp_path / "x.safetensors", tensors, {})
    assert torch.equal(before, torch.get_rng_state())
