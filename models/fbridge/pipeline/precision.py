"""The precision of a pipeline's networks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from fbridge.errors import ConfigError
from fbridge.files.configs import read_json
from fbridge.loaders.codec import needs_float32


def wanted_dtype(options: Mapping[str, Any], *, by_part: bool) -> Any:
    """The dtype among the options of `from_pretrained`, by its new or old name; else float32.

    Args:
        options: of the call.
        by_part: whether a dict is possible, as diffusers takes one for a saved pipeline.

    Raises:
        ConfigError: it is something else, such as "auto", which diffusers takes for float32.
    """
    dtype = options.get("dtype", options.get("torch_dtype")) or torch.float32
    if not isinstance(dtype, (torch.dtype, dict) if by_part else torch.dtype):
        raise ConfigError(
            f"dtype {dtype!r}: give torch.float32, torch.float16 or torch.bfloat16 to load this "
            "model in"
        )
    return dtype


def component_dtypes(folder: Path, dtype: Any) -> Any:
    """What diffusers takes as the dtype of a saved pipeline that is asked for in a dtype.

    An image VAE that declares half precision too little for it (`force_upcast`) stays float32, as
    `fbridge.loaders.codec.load_codec` has it.
    """
    config = folder / "vae" / "config.json"
    if dtype != torch.float16 or not config.is_file():
        return dtype
    return {"vae": torch.float32, "default": dtype} if needs_float32(read_json(config)) else dtype


def dtype_of_part(dtype: Any, part: str) -> torch.dtype:
    """Of what diffusers takes as the dtype of a saved pipeline, that of one part."""
    if isinstance(dtype, dict):
        dtype = dtype.get(part, dtype.get("default", torch.float32))
    found: torch.dtype = dtype
    return found
