"""A configuration as TOML, with or without descriptions, and its JSON schema."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Container
from typing import Any

from fbridge.config.keys import schema, schema_of
from fbridge.config.tree import Config, Section
from fbridge.config.values import as_toml, read_recipe, recipes

WIDTH = 96


def to_toml(config: Config, *, comments: bool) -> str:
    """TOML from which `load_config` makes an equal configuration.

    Args:
        config: the values.
        comments: add each key's description, and keys without a value as comments.
    """
    undone = _recipe_keys(config)
    top = [_comment(Config)] if comments else []
    groups = [top]
    for name, value in config:
        if isinstance(value, Section):
            about = _comment(type(value)) if comments else []
            entries = [_entry(f"{name}.{key}", own, undone, comments) for key, own in value]
            groups.append([[*about, f"[{name}]"], *entries])
        else:
            top.append(_entry(name, value, undone, comments))
    between = "\n\n" if comments else "\n"
    texts = (between.join("\n".join(entry) for entry in group if entry) for group in groups)
    return "\n\n".join(filter(None, texts)) + "\n"


def to_schema() -> dict[str, Any]:
    """JSON schema of a configuration, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of fbridge train-prior and finetune",
        **schema(),
    }


def _entry(key: str, value: Any, undone: Container[str], comments: bool) -> list[str]:
    """The lines of a key; none for a key without a value, unless with comments."""
    name, about = key.rpartition(".")[2], schema_of(key)
    lines = _comment(about["description"]) if comments else []
    if comments and "enum" in about:
        lines += _comment(f"One of: {', '.join(about['enum'])}.")
    if value is not None:
        return [*lines, f"{name} = {as_toml(value)}"]
    if key in undone:
        return [*lines, f'{name} = ""']
    return [*lines, f"# {name} = {as_toml(about['examples'][0])}"] if comments else []


def _recipe_keys(config: Config) -> set[str]:
    """Keys that the recipe sets: unset ones among them must be written."""
    if config.recipe not in recipes():
        return set()
    return {
        dotted
        for name, value in read_recipe(config.recipe).items()
        for dotted in ([f"{name}.{key}" for key in value] if isinstance(value, dict) else [name])
    }


def _comment(about: str | type[Section]) -> list[str]:
    """A text, or the docstring of a section, as comments."""
    text = about if isinstance(about, str) else inspect.getdoc(about) or ""
    return [f"# {line}" for part in text.split("\n\n") for line in textwrap.wrap(part, WIDTH)]
