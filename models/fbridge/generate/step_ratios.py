"""What MagCache has measured of a model, kept in the user's cache."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path

from fbridge.errors import FBridgeError
from fbridge.files.atomic import write_text
from fbridge.pipeline.step_cache import Ratios
from fbridge.weights import cache_folder


class KeptRatios(dict[str, Ratios]):
    """Ratios by way of sampling, in a file.

    What cannot be read or written is measured again: the file saves time and decides nothing.

    Args:
        file: JSON; need not exist.
    """

    def __init__(self, file: Path) -> None:
        super().__init__(_read(file))
        self._file = file

    def __setitem__(self, way: str, ratios: Ratios) -> None:
        super().__setitem__(way, ratios)
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_text(self._file, json.dumps({**_read(self._file), **self}))
        except (OSError, FBridgeError):
            pass


def ratios_of(model: Mapping[str, object]) -> KeptRatios:
    """The ratios of a model, by all facts that decide its weights and their rounding."""
    name = hashlib.sha256(json.dumps(model, sort_keys=True).encode()).hexdigest()[:24]
    return KeptRatios(cache_folder() / "step-ratios" / f"{name}.json")


def _read(file: Path) -> dict[str, Ratios]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        kept = {
            str(way): [[float(ratio) for ratio in network] for network in networks]
            for way, networks in found.items()
        }
    except (OSError, ValueError, TypeError, AttributeError, RecursionError, OverflowError):
        return {}
    numbers = (ratio for networks in kept.values() for network in networks for ratio in network)
    return kept if all(map(math.isfinite, numbers)) and all(kept.values()) else {}
