"""The single file of a text-to-video base: its weights, and all else in its header."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from fbridge.errors import CheckpointError
from fbridge.files.configs import check_form
from fbridge.files.model_forms import SingleFileForm
from fbridge.files.modules import precision_of
from fbridge.files.tensors import Header, broken

FORMAT = 1
_KEY = "fbridge"


def save_single_file(  # noqa: PLR0913 - a base's parts and facts
    path: Path,
    transformer: Any,
    vae: Any,
    *,
    noise: Mapping[str, Any],
    prediction: str,
    text_encoder: str,
    frames: list[int],
    fps: float,
    sizes: list[list[int]],
    world: str = "",
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write a text-to-video base as a single file: the weights, and all else in its header.

    Tensors are named "transformer.<key>" and "vae.<key>". The header's metadata has one key,
    "fbridge", whose JSON holds "format" and "kind", the configurations of transformer and vae with
    their `_class_name`, "noise" and "prediction" as `fbridge.loaders.pretrained.PretrainedModel`
    has them, "text_encoder", "frames", "fps", "sizes" and, where it is given, "world".
    """
    facts = {
        "format": FORMAT,
        "kind": "text-to-video",
        "transformer": _described(transformer),
        "vae": _described(vae),
        "noise": dict(noise),
        "prediction": prediction,
        "text_encoder": text_encoder,
        "frames": frames,
        "fps": fps,
        "sizes": sizes,
        **({"world": world} if world else {}),
    }
    tensors = {
        f"{part}.{key}": _stored(value, precision_of(type(model), key, dtype))
        for part, model in (("transformer", transformer), ("vae", vae))
        for key, value in model.state_dict().items()
    }
    save_file(tensors, path, {_KEY: json.dumps(facts, sort_keys=True)})


def single_file_facts(path: Path, header: Header) -> dict[str, Any] | None:
    """What `save_single_file` wrote into a file's header; None of a file that it did not write.

    Raises:
        CheckpointError: the header is broken, or of a newer format.
    """
    if _KEY not in header.metadata:
        return None
    try:
        facts: dict[str, Any] = json.loads(header.metadata[_KEY])
        kind, version = facts.get("kind"), facts.get("format")
    except (ValueError, AttributeError, RecursionError) as error:
        raise broken(path, error) from error
    if (version, kind) != (FORMAT, "text-to-video"):
        raise CheckpointError(
            f"{path}: is a {kind} base of format {version}, and this version reads text-to-video "
            f"bases of format {FORMAT}; update fbridge"
        )
    check_form(SingleFileForm, facts, path)
    return facts


def _stored(value: Tensor, dtype: torch.dtype) -> Tensor:
    return value.detach().to("cpu", dtype if value.is_floating_point() else None).contiguous()


def _described(model: Any) -> dict[str, Any]:
    numbers = {key: value for key, value in model.config.items() if key[0] != "_"}
    return {"_class_name": type(model).__name__, **numbers}
