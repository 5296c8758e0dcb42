"""The keys of the configuration: names, JSON schema, and suggestions for unknown ones."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from fbridge.config.tree import Config, Section

PREFIX = "FBRIDGE_"


@cache
def known_keys() -> tuple[str, ...]:
    """All dotted keys, in their order."""
    return tuple(Config().flat())


@cache
def sections() -> tuple[str, ...]:
    """Names of the sections, in their order."""
    return tuple(name for name, value in Config() if isinstance(value, Section))


def environment_variable(key: str) -> str:
    """Environment variable of a key: FBRIDGE_TRAIN_LR for train.lr."""
    return PREFIX + key.upper().replace(".", "_")


def toml_name(key: str) -> str:
    """Name of a key in a TOML file: "[train] lr" for train.lr."""
    section, _, name = key.rpartition(".")
    return f"[{section}] {name}" if section else name


@cache
def schema() -> dict[str, Any]:
    """JSON schema of the configuration, without pydantic's titles and nulls."""
    cleaned: dict[str, Any] = _clean(Config.model_json_schema(schema_generator=_InOrder))
    for name in sections():  # follow from the defaults of their keys
        del cleaned["properties"][name]["default"]
    return cleaned


def schema_of(key: str) -> dict[str, Any]:
    """JSON schema of a key's value; empty for an unknown key."""
    section, _, name = key.rpartition(".")
    tree: dict[str, Any] = schema()
    if section:
        definition = tree["properties"].get(section, {}).get("$ref", "").rpartition("/")[2]
        tree = tree["$defs"].get(definition, {})
    found: dict[str, Any] = tree.get("properties", {}).get(name, {})
    return found


def suggest(word: str, known: Iterable[str], form: str = "'{}'") -> str:
    """Suggestion for an unknown word: the closest known one, else all of them."""
    among = list(known)
    close = get_close_matches(word.lower(), among, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {form.format(close[0])}?"
    return f"; known: {', '.join(among)}"


def suggest_key(section: str, name: str) -> str:
    """Suggestion for an unknown key in a section of a file; "" is the top level."""
    own = _names(section)
    elsewhere = [toml_name(key) for key in known_keys() if key.rpartition(".")[2] == name]
    if elsewhere and not get_close_matches(name.lower(), own, n=1, cutoff=0.6):
        return f"; did you mean {' or '.join(elsewhere)}?"
    return suggest(name, own)


def suggest_dotted(key: str) -> str:
    """Suggestion for an unknown dotted key."""
    name = key.rpartition(".")[2]
    tails = [known for known in known_keys() if known.rpartition(".")[2] == name]
    if tails:
        return f"; did you mean {' or '.join(map(repr, tails))}?"
    hint = suggest(key, known_keys())
    return hint if "did you mean" in hint else "; fbridge config prints all keys"


def suggest_variable(name: str) -> str:
    """Suggestion for an unknown environment variable of a known section."""
    section = next(own for own in sections() if name.startswith(environment_variable(f"{own}.")))
    rest = name.removeprefix(environment_variable(f"{section}."))
    close = get_close_matches(rest.lower(), _names(section), n=1, cutoff=0.6)
    return (
        f"; did you mean {environment_variable(f'{section}.{close[0]}')}?"
        if close
        else "; unset it"
    )


def _names(section: str) -> list[str]:
    return [key.rpartition(".")[2] for key in known_keys() if key.rpartition(".")[0] == section]


class _InOrder(GenerateJsonSchema):
    """Keys in their own order, not sorted by name."""

    def sort(self, value: JsonSchemaValue, parent_key: str | None = None) -> JsonSchemaValue:
        del parent_key
        return value


def _clean(node: Any) -> Any:
    if isinstance(node, list):
        return [_clean(part) for part in node]
    if not isinstance(node, dict):
        return node
    kept = {
        name: _clean(part)
        for name, part in node.items()
        if not (name == "title" and isinstance(part, str)) and (name, part) != ("default", None)
    }
    choices = [part for part in kept.get("anyOf", ()) if part != {"type": "null"}]
    if len(choices) == 1:
        del kept["anyOf"]
        return {**choices[0], **kept}
    return kept
