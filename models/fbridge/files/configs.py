"""JSON files of models: configurations, indices and cards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fbridge.errors import CheckpointError


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object.

    Raises:
        CheckpointError: it is missing, broken, or holds something else.
    """
    try:
        held = json.loads(path.read_text("utf-8"))
        if not isinstance(held, dict):
            raise ValueError("it holds no JSON object")
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path}: cannot be read, or is no configuration: {error}; fetch the folder again"
        ) from error
    return held


def has_component(index: dict[str, Any], part: str) -> bool:
    """Whether a pipeline's `model_index.json` names a class for a part."""
    return (index.get(part) or [None])[0] is not None
