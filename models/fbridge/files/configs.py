"""JSON files of models: configurations, indices and cards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fbridge.errors import CheckpointError
from fbridge.files.schema import Form, form_fault

_CONFIGS = (
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "preprocessor_config.json",
    "scheduler_config.json",
)
"""The configurations of a part that libraries read."""
_CODE_KEYS = ("auto_map", "custom_pipelines", "custom_pipeline", "trust_remote_code")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object.

    Raises:
        CheckpointError: it is missing, broken, or holds something else.
    """
    try:
        held = json.loads(path.read_text("utf-8"))
        if not isinstance(held, dict):
            raise ValueError("it holds no JSON object")
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: cannot be read, or is no configuration: {error}; fetch the folder again"
        ) from error
    return held


def check_form(form: type[Form], held: dict[str, Any], path: Path) -> None:
    """Raise CheckpointError, with file and key, where an object of a file has not its form."""
    if fault := form_fault(form, held):
        raise CheckpointError(f"{path}: {fault}; the file is damaged, get it again")


def has_component(index: dict[str, Any], part: str) -> bool:
    """Whether a pipeline's `model_index.json` names a class for a part."""
    return named_library(index, part) is not None


def named_library(index: dict[str, Any], part: str) -> Any:
    """The first of the two names that a pipeline's `model_index.json` has for a part."""
    held = index.get(part)
    return held[0] if isinstance(held, list) and held else None


def check_no_code(folder: Path) -> None:
    """Refuse a part of a model whose configurations point at code, at any depth.

    Libraries are told not to run any (`trust_remote_code=False`), which versions of them have
    failed to heed; no model that is supported has such a key.

    Args:
        folder: of one part, such as a text encoder or a tokenizer.

    Raises:
        CheckpointError: a configuration does; names file and key.
    """
    for name in _CONFIGS:
        path = folder / name
        if path.is_file() and (key := _code_key(read_json(path))):
            raise CheckpointError(
                f"{path}: names code by its key {key!r}, and code of a model's folder is never "
                "run; remove the key if the model is of a known class without it"
            )


def _code_key(held: Any) -> str:
    """The first key that points at code; "" if there is none."""
    items = held.items() if isinstance(held, dict) else enumerate(held)
    for key, value in items:
        code = key in _CODE_KEYS or ("_implementation" in str(key) and "/" in str(value))
        if code and value:
            return str(key)
        if isinstance(value, (dict, list)) and (inner := _code_key(value)):
            return inner
    return ""
