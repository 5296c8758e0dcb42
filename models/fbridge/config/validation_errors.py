"""Turn pydantic's errors into lines that name the place, the value and what is expected."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from fbridge.config.keys import known_keys, schema_of, toml_name
from fbridge.config.values import as_toml

LONGEST = 60


def error_lines(
    error: ValidationError, given: Mapping[str, Any], places: Mapping[str, str]
) -> list[str]:
    """One line for each invalid key.

    Args:
        error: raised by `Config`.
        given: values by dotted key.
        places: how the line of each key begins.
    """
    lines: dict[str, str] = {}
    for one in error.errors(include_url=False):
        key = _key(one)
        place = places.get(key, toml_name(key))
        what = f"{place} is {_shown(given.get(key))}"
        if one["type"] == "conflict":
            lines[key] = f"{what} and needs {one['ctx']['need']}"
        elif one["type"] == "rule":
            lines[key] = f"{what} but must be {one['msg']}"
        else:
            suggestion = _suggestion(key, given.get(key))
            lines[key] = f"{what} but must be {expected(schema_of(key))}{suggestion}"
    return list(lines.values())


def expected(schema: Mapping[str, Any]) -> str:
    """Description of the valid values of a JSON schema: "a number above 0"."""
    if "enum" in schema:
        return f"one of {', '.join(map(as_toml, schema['enum']))}"
    match schema.get("type"):
        case "boolean":
            return "true or false"
        case "integer":
            return f"a whole number{_bounds(schema)}"
        case "number":
            return f"a number{_bounds(schema)}"
        case "array" if "prefixItems" in schema:
            parts = schema["prefixItems"]
            return f"a list of {len(parts)}, each {expected(parts[0])}"
        case "array":
            return f"a list, each {expected(schema['items'])}"
        case "object":
            return f"a table such as {as_toml(schema['examples'][0])}"
        case _:
            return "text"


def _bounds(schema: Mapping[str, Any]) -> str:
    least, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    most, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    words = []
    if least is not None:
        bounded = most is not None or below is not None
        words.append(f"from {least:g}" if bounded else f"of {least:g} or more")
    if above is not None:
        words.append(f"above {above:g}")
    if most is not None:
        words.append(f"to {most:g}")
    if below is not None:
        words.append(f"to below {below:g}" if above is None else f"and below {below:g}")
    return "".join(f" {word}" for word in words)


def _key(error: ErrorDetails) -> str:
    names = [str(part) for part in error["loc"]]
    if error["type"] == "conflict":
        return f"{names[0]}.{error['ctx']['key']}"
    return names[0] if names[0] in known_keys() else ".".join(names[:2])


def _shown(value: Any) -> str:
    text = as_toml(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _suggestion(key: str, value: Any) -> str:
    choices = schema_of(key).get("enum")
    if choices is None or not isinstance(value, str):
        return ""
    close = get_close_matches(value.lower(), choices, n=1)
    return f"; did you mean {as_toml(close[0])}?" if close else ""
