"""Where the files of a run lie: a run and its result are used from other working folders too."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fbridge.config.tree import Config
from fbridge.loaders.adapter_card import absolute
from fbridge.loaders.lora_choice import absolute_lora

_LORAS = "lora.base."


def places(config: Config) -> dict[str, str]:
    """Absolute paths of the files and folders that a configuration names, by its keys.

    Of LoRA files, "lora.base.0" and so on, with their weights as they are written.
    """
    found = {key: absolute(name) for key, name in _named(config).items()}
    found |= {f"{_LORAS}{n}": absolute_lora(text) for n, text in enumerate(config.lora.base)}
    return {key: path for key, path in found.items() if path is not None}


def with_places(config: Config, facts: Mapping[str, Any], *, base: str | None = None) -> Config:
    """A run's configuration with its relative paths as they were, from whatever folder it is used.

    Args:
        config: of the run.
        facts: of the run, as its run.json holds them.
        base: where its base lies now; None is where it was.
    """
    named = _named(config)
    recorded = dict(facts.get("places", {}))
    loras = [
        text if Path(text).is_absolute() else recorded.pop(f"{_LORAS}{number}", text)
        for number, text in enumerate(config.lora.base)
    ]
    found = {
        key: path
        for key, path in recorded.items()
        if not key.startswith(_LORAS)
        and Path(path).exists()
        and not Path(named[key] or "").is_absolute()
    }
    found |= {} if base is None else {"base": base}
    prior = found.pop("prior.path", config.prior.path)
    return config.model_copy(
        update={
            **found,
            "prior": config.prior.model_copy(update={"path": prior}),
            "lora": config.lora.model_copy(update={"base": tuple(loras)}),
        }
    )


def _named(config: Config) -> dict[str, str | None]:
    return {
        "base": config.base,
        "components": config.components,
        "data": config.data,
        "prior.path": config.prior.path,
    }


def recorded_facts(path: Path) -> dict[str, Any]:
    """What a run.json holds; {} where it cannot be read: `run_files.read_facts` raises."""
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return held if isinstance(held, dict) else {}
