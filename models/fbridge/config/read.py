"""A configuration from all the places that may speak: command line, environment, file, recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from fbridge.config.keys import (
    called,
    known_keys,
    near,
    near_dotted,
    near_key,
    near_variable,
    sections,
    variable,
)
from fbridge.config.recipe import recipe_file, recipes
from fbridge.config.tree import Config
from fbridge.config.validation_errors import complaints
from fbridge.config.values import as_toml, key_as_toml, parse_value, read_toml, shown
from fbridge.errors import ConfigError

COMMAND_LINE, DEFAULT = "command line", "default"


@dataclass(frozen=True)
class Resolved:
    """A configuration and who decided each of its keys.

    Attributes:
        config: checked.
        origin: dotted key -> "command line", "FBRIDGE_TRAIN_LR", a file as it was named,
            "recipe demo" or "default".
    """

    config: Config
    origin: Mapping[str, str]


class _Entry(NamedTuple):
    """What one place says of a key; `place` begins a complaint about it."""

    value: Any
    origin: str
    place: str


_Entries = dict[str, _Entry]


def load_config(
    *,
    file: Path | None = None,
    recipe: str | None = None,
    environment: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Resolved:
    """Resolve a configuration: options before environment, file, recipe and defaults.

    Args:
        file: TOML.
        recipe: name of one of `recipes`; else the one that options, environment or file name.
        environment: variables FBRIDGE_TRAIN_LR and the like; those of no section are passed over.
        options: by dotted key, "train.lr".

    Raises:
        ConfigError: a key is unknown or a value cannot be; a line each, with its place.
    """
    wrong: list[str] = []
    typed = dict(options or {}) | ({} if recipe is None else {"recipe": recipe})
    entries: _Entries = {} if file is None else _from_tree(read_toml(file), shown(file), wrong)
    entries |= _from_environment(environment or {}, wrong)
    entries |= _from_options(typed, wrong)
    entries = {**_from_recipe(entries.get("recipe"), wrong), **entries}
    given = {key: entry.value for key, entry in entries.items()}
    places = {key: entry.place for key, entry in entries.items()}
    try:
        config = Config.model_validate(_nested(given))
    except ValidationError as error:
        wrong += complaints(error, given, places).values()
    wrong += [
        f"{entry.place} is no text in UTF-8; write it anew"
        for entry in entries.values()
        if not _is_text(as_toml(entry.value))
    ]
    if wrong:
        count = f"the configuration has {len(wrong)} mistakes:\n" if len(wrong) > 1 else ""
        raise ConfigError(count + "\n".join(wrong))
    origin = {key: entries[key].origin if key in entries else DEFAULT for key in known_keys()}
    return Resolved(config, origin)


def _nested(given: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in given.items():
        section, _, name = key.rpartition(".")
        (tree.setdefault(section, {}) if section else tree)[name] = value
    return tree


def _is_text(text: str) -> bool:
    """Whether the text can be written: names of files may be bytes that are none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _from_tree(tree: Mapping[str, Any], origin: str, wrong: list[str]) -> _Entries:
    """What a file says; what is amiss with its keys goes to `wrong`."""
    found: _Entries = {}
    for name, value in tree.items():
        if name in sections():
            if not isinstance(value, dict):
                wrong.append(
                    f"{origin}: {name} is {as_toml(value)} but must be a section, [{name}]"
                )
                continue
            for key, own in value.items():
                if f"{name}.{key}" in known_keys():
                    dotted = f"{name}.{key}"
                    found[dotted] = _Entry(own, origin, f"{origin}: {called(dotted)}")
                else:
                    hint = near_key(name, key)
                    wrong.append(f"{origin}: [{name}] {key_as_toml(key)}: unknown key{hint}")
        elif name in known_keys():
            found[name] = _Entry(value, origin, f"{origin}: {name}")
        elif isinstance(value, dict):
            hint = near(name, sections(), "[{}]")
            wrong.append(f"{origin}: [{key_as_toml(name)}]: unknown section{hint}")
        else:
            wrong.append(f"{origin}: {key_as_toml(name)}: unknown key{near_key('', name)}")
    return found


def _from_environment(environment: Mapping[str, str], wrong: list[str]) -> _Entries:
    """What variables say; an empty one says nothing."""
    known = {variable(key): key for key in known_keys()}
    starts = tuple(variable(f"{section}.") for section in sections())
    found: _Entries = {}
    for name, text in sorted(environment.items()):
        if name in known and text:
            key = known[name]
            found[key] = _Entry(parse_value(key, text), name, f"{name}:")
        elif name.startswith(starts) and name not in known:
            wrong.append(f"{name}: unknown key{near_variable(name)}")
    return found


def _from_options(options: Mapping[str, Any], wrong: list[str]) -> _Entries:
    wrong += [
        f"--set {key}: unknown key{near_dotted(key)}" for key in options if key not in known_keys()
    ]
    return {
        key: _Entry(value, COMMAND_LINE, f"{COMMAND_LINE}: {key}")
        for key, value in options.items()
        if key in known_keys()
    }


def _from_recipe(named: _Entry | None, wrong: list[str]) -> _Entries:
    """What the recipe says that was asked for, if any."""
    if named is None or not isinstance(named.value, str) or not named.value:
        return {}
    name = named.value
    if name not in recipes():
        wrong.append(f"{named.place} {as_toml(name)}: unknown recipe{near(name, recipes())}")
        return {}
    return _from_tree(read_toml(recipe_file(name)), f"recipe {name}", wrong)
