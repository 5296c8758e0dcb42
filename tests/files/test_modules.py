"""Networks from configurations: values that constructors would keep as they are."""

from __future__ import annotations

from typing import Any

import pytest
from diffusers import AutoencoderKL, CogVideoXTransformer3DModel

from fbridge.backbones.space_time import SpaceTimeTransformer
from fbridge.errors import CheckpointError
from fbridge.files.modules import empty_network


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        (CogVideoXTransformer3DModel, "freq_shift", None),
        (CogVideoXTransformer3DModel, "norm_eps", "x"),
        (AutoencoderKL, "shift_factor", "x"),
        (SpaceTimeTransformer, "heads", [4]),
    ],
)
def test_what_is_no_number_is_named(kind: Any, key: str, value: Any) -> None:
    with pytest.raises(CheckpointError, match=f"^{key} is .* where a number is needed in the con"):
        empty_network(kind, {key: value})


def test_what_may_be_absent_may_be_none() -> None:
    config = {"shift_factor": None, "force_upcast": True, "block_out_channels": [32]}
    assert empty_network(AutoencoderKL, config).config["shift_factor"] is None
