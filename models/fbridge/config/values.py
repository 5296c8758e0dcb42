"""Read and write values and files of TOML; the recipes that come with fbridge."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import ParseError, TOMLKitError

from fbridge.config.keys import schema_of
from fbridge.errors import ConfigError

_RECIPES = Path(__file__).parent / "recipes"
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BARE = re.compile(r"^[^#\"']*=\s*(?!true\b|false\b|inf\b|nan\b|\.\d)[A-Za-z_~./\\]")
"""A line whose value lacks its quotation marks."""


def as_toml(value: Any) -> str:
    """A value on one line of TOML; values that TOML lacks as `str`."""
    if isinstance(value, dict):
        pairs = (f"{key_as_toml(name)} = {as_toml(own)}" for name, own in value.items())
        return f"{{ {', '.join(pairs)} }}" if value else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(as_toml, value))}]"
    try:
        return str(tomlkit.item(value).as_string())
    except (TOMLKitError, ValueError, RecursionError):
        return str(value)


def key_as_toml(key: str) -> str:
    """A key in TOML: bare if its characters allow it, else quoted."""
    return key if _BARE_KEY.fullmatch(key) else as_toml(key)


def parse_change(text: str) -> tuple[str, Any]:
    """Key and value of a text such as "train.lr=1e-4".

    Raises:
        ConfigError: it has another form.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {text}: is not KEY=VALUE; write it like train.lr=1e-4")
    return key.strip(), parse_value(key.strip(), value.strip())


def parse_value(key: str, text: str) -> Any:
    """Parse a key's value as TOML, else as text: shells strip quotation marks."""
    schema = schema_of(key)
    kind = schema.get("type")
    try:
        value = tomlkit.value(text).unwrap()
    except (TOMLKitError, ValueError, RecursionError):
        if kind == "array" and schema.get("items", {}).get("type") == "string":
            words = text.removeprefix("[").removesuffix("]").split(",")
            return [word.strip() for word in words if word.strip()]
        if kind in {"number", "integer"}:
            with suppress(ValueError):
                return float(text)
        return text
    return text if kind == "string" and not isinstance(value, str) else value


def read_toml(path: Path) -> dict[str, Any]:
    """The contents of a TOML file.

    Raises:
        ConfigError: it is missing, cannot be read or is not TOML.
    """
    name = shown(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{name}: no such file; fbridge config -o {name} makes one") from None
    except IsADirectoryError:
        raise ConfigError(f"{name}: is a folder; name a TOML file") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{name}: is not UTF-8 text; save it as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read: {error.strerror}; check the file") from None
    try:
        tree: dict[str, Any] = tomlkit.parse(text).unwrap()
    except ParseError as error:
        place = f"line {error.line}, column {error.col + 1}"
        line = text.splitlines()[error.line - 1] if text else ""
        hint = '; text needs "quotation marks"' if _BARE.search(line) else ""
        raise ConfigError(f"{name}: {place}: is not TOML: {_reason(error)}{hint}") from None
    except (TOMLKitError, ValueError, RecursionError) as error:
        raise ConfigError(f"{name}: is not TOML: {_reason(error)}") from None
    return tree


def recipes() -> dict[str, str]:
    """Name -> the first line of every recipe, which describes it."""
    return {
        path.stem: path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        for path in sorted(_RECIPES.glob("*.toml"), key=lambda path: path.stem)
    }


def read_recipe(name: str) -> dict[str, Any]:
    """The contents of one of `recipes`."""
    return read_toml(_RECIPES / f"{name}.toml")


def shown(path: Path) -> str:
    """The path as text, with invalid bytes replaced."""
    return os.fsencode(path).decode("utf-8", errors="replace")


def _reason(error: Exception) -> str:
    reason = str(error).partition(" at line ")[0].rstrip(".")
    if reason.endswith(repr("\0")):  # how tomlkit marks the end of the file
        return "the file ends in the middle of a value"
    return f"{reason[:1].lower()}{reason[1:]}"
