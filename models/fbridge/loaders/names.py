"""Whether a text can be the name of a model, found out without torch and without the hub."""

from __future__ import annotations

import re

from fbridge.checks import did_you_mean, home_expanded
from fbridge.choices import EMBEDDED
from fbridge.errors import CheckpointError, ConfigError
from fbridge.files.hub import name_in_address
from fbridge.loaders.locate import packaged_file


def check_model(option: str, name: str) -> None:
    """Raise unless `name` is a model of the package, a file or folder, or has the form of a hub id.

    Raises:
        ConfigError: the name is unknown.
        CheckpointError: the path does not exist.
    """
    if name == EMBEDDED or home_expanded(name).exists() or packaged_file(name) is not None:
        return
    if "/" not in name and "\\" not in name:
        raise ConfigError(
            f"{option} {name}: unknown{did_you_mean(name, [EMBEDDED])}; "
            f"use {EMBEDDED}, a folder, or a hub id such as owner/name"
        )
    if not re.fullmatch(r"[\w-][\w.-]*/[\w.-]+(@\S+)?", name):
        page = name_in_address(name)
        use = f"{EMBEDDED}, a folder, or a hub id" if page is None else f"its hub id, {page}"
        raise CheckpointError(f"{option} {name}: no such folder; use {use}")
