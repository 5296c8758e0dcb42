"""Memory options: their check, and their form in a video's record."""

from __future__ import annotations

from typing import Any

import pytest

from fbridge.errors import ConfigError
from fbridge.memory.options import MemoryOptions


@pytest.mark.parametrize(
    ("options", "record"),
    [
        (MemoryOptions(), {}),
        (MemoryOptions(offload="group"), {}),
        (
            MemoryOptions(quantize="nf4", attention="flash", tiling=True, slicing=True),
            {"quantize": "nf4", "attention": "flash", "tiling": "True", "slicing": "True"},
        ),
        (MemoryOptions(cast="float8", offload="model"), {"cast": "float8"}),
    ],
)
def test_records(options: MemoryOptions, record: dict[str, str]) -> None:
    assert options.to_record() == record
    again = MemoryOptions.from_record({**record, "unknown": "1"})
    assert again.to_record() == record
    assert again.offload == "none"


@pytest.mark.parametrize("name", ["offload", "quantize", "cast"])
def test_unknown_names(name: str) -> None:
    options: dict[str, Any] = {name: "nothing"}
    with pytest.raises(ConfigError, match=f"--{name} nothing: unknown"):
        MemoryOptions(**options)
