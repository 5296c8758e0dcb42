from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from fbridge.data.latents import columns
from fbridge.data.latents.columns import Columns, write_columns
from fbridge.data.latents.format import dump, parse
from fbridge.errors import DependencyError


@pytest.mark.parametrize("rows", [0, 1, 7, 8, 23])
def test_columns_are_written_as_safetensors_writes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(columns, "ROWS_AT_ONCE", 4)
    monkeypatch.setattr(columns, "_NUMBERS_AT_ONCE", 3)
    numbers = np.random.default_rng(rows).integers(-(2**62), 2**62, (rows, 3))
    with Columns(tmp_path, "shard", "b", "row") as table, Columns(tmp_path, "caption") as other:
        for row in numbers.tolist():
            table.append(*row)
        for number in range(rows + 1):
            other.append(number)
        part = write_columns(tmp_path, [table, other], rows, {"shard": 5})
    whole = {name: torch.tensor(numbers[:, n].copy()) for n, name in enumerate(table.names)}
    whole["shard"] += 5
    whole["caption"] = torch.arange(rows + 1)
    save_file(whole, tmp_path / "whole")
    assert (tmp_path / part.path).read_bytes() == (tmp_path / "whole").read_bytes()
    assert load_file(tmp_path / part.path).keys() == whole.keys()
    assert part.rows == rows
    assert sorted(path.name for path in tmp_path.iterdir()) == [part.path, "whole"]


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(columns, "ROWS_AT_ONCE", 4)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.raises(DependencyError, match="larger than this system allows"):  # noqa: PT012
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
        try:
            with Columns(tmp_path, "row") as table:
                for number in range(2000):
                    table.append(number)
                write_columns(tmp_path, [table], 2000)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(JSON)
def test_a_line_survives_parsing_to_the_byte(value: object) -> None:
    line = dump(value).encode()
    parsed = parse(line)
    assert parsed == json.loads(line)
    assert dump(parsed).encode() == line


@pytest.mark.parametrize("line", [b"", b'{"a":1', b'{"a":1}x', b"[01]", b"\xff"])
def test_what_is_no_json_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - json's and pydantic's
        parse(line)
