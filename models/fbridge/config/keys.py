"""The keys of the tree: their names, what each may be, and what a wrong one was meant to be."""

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
    """All dotted keys, in the order of the tree."""
    return tuple(Config().flat())


@cache
def sections() -> tuple[str, ...]:
    """Names of the sections, in the order of the tree."""
    return tuple(name for name, value in Config() if isinstance(value, Section))


def variable(key: str) -> str:
    """The environment variable of a key: FBRIDGE_TRAIN_LR of train.lr."""
    return PREFIX + key.upper().replace(".", "_")


def called(key: str) -> str:
    """How a file has it: "[train] lr" of train.lr."""
    section, _, name = key.rpartition(".")
    return f"[{section}] {name}" if section else name


@cache
def schema() -> dict[str, Any]:
    """JSON schema of the tree, without what only pydantic or JSON need: titles and nulls."""
    cleaned: dict[str, Any] = _clean(Config.model_json_schema(schema_generator=_InOrder))
    for name in sections():  # given by their own keys
        del cleaned["properties"][name]["default"]
    return cleaned


def schema_of(key: str) -> dict[str, Any]:
    """JSON schema of one key's value; of an unknown key an empty one."""
    section, _, name = key.rpartition(".")
    tree: dict[str, Any] = schema()
    if section:
        place = tree["properties"].get(section, {}).get("$ref", "").rpartition("/")[2]
        tree = tree["$defs"].get(place, {})
    found: dict[str, Any] = tree.get("properties", {}).get(name, {})
    return found


def near(word: str, known: Iterable[str], form: str = "'{}'") -> str:
    """The hint to append to an unknown word: the nearest known one, else all of them."""
    among = list(known)
    close = get_close_matches(word.lower(), among, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {form.format(close[0])}?"
    return f"; known: {', '.join(among)}"


def near_key(section: str, name: str) -> str:
    """The hint to append to a key that a section of a file does not know; "" is no section."""
    own = _names(section)
    elsewhere = [called(key) for key in known_keys() if key.rpartition(".")[2] == name]
    if elsewhere and not get_close_matches(name.lower(), own, n=1, cutoff=0.6):
        return f"; did you mean {' or '.join(elsewhere)}?"
    return near(name, own)


def near_dotted(key: str) -> str:
    """The hint to append to a dotted key that is unknown."""
    name = key.rpartition(".")[2]
    tails = [known for known in known_keys() if known.rpartition(".")[2] == name]
    if tails:
        return f"; did you mean {' or '.join(map(repr, tails))}?"
    hint = near(key, known_keys())
    return hint if "did you mean" in hint else "; fbridge config prints all keys"


def near_variable(name: str) -> str:
    """The hint to append to an unknown variable of a known section."""
    section = next(own for own in sections() if name.startswith(variable(f"{own}.")))
    rest = name.removeprefix(variable(f"{section}."))
    close = get_close_matches(rest.lower(), _names(section), n=1, cutoff=0.6)
    return f"; did you mean {variable(f'{section}.{close[0]}')}?" if close else "; unset it"


def _names(section: str) -> list[str]:
    return [key.rpartition(".")[2] for key in known_keys() if key.rpartition(".")[0] == section]


class _InOrder(GenerateJsonSchema):
    """Keys in the order of the tree, not of the alphabet."""

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
