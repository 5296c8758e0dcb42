"""Load a configuration from the command line, the environment, a file and a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from fbridge.checks import check_no_url
from fbridge.config.keys import (
    environment_variable,
    known_keys,
    sections,
    suggest,
    suggest_dotted,
    suggest_key,
    suggest_variable,
    toml_name,
)
from fbridge.config.tree import Config
from fbridge.config.validation_errors import error_lines
from fbridge.config.values import (
    as_toml,
    key_as_toml,
    parse_value,
    read_recipe,
    read_toml,
    recipes,
    shown,
)
from fbridge.errors import ConfigError

COMMAND_LINE, DEFAULT = "command line", "default"


@dataclass(frozen=True)
class Resolved:
    """A configuration, and where each value came from.

    Attributes:
        config: validated.
        origin: dotted key -> "command line", an environment variable, the file's name,
            "recipe demo" or "default".
    """

    config: Config
    origin: Mapping[str, str]


class _Entry(NamedTuple):
    """A value, its origin, and how error messages name its place."""

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
    """Load a configuration; options override environment, file, recipe, defaults, in this order.

    Args:
        file: TOML.
        recipe: key of `recipes`; None: the one named by options, environment or file.
        environment: such as FBRIDGE_TRAIN_LR; variables of no section are ignored.
        options: by dotted key, such as "train.lr".

    Raises:
        ConfigError: unknown keys and invalid values, one line each with its place.
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
        wrong += error_lines(error, given, places)
    for key, entry in entries.items():
        wrong += _url_faults(key, entry)
    wrong += [
        f"{entry.place} is not valid UTF-8 text; write it again"
        for entry in entries.values()
        if not _is_text(as_toml(entry.value))
    ]
    if wrong:
        count = f"the configuration has {len(wrong)} mistakes:\n" if len(wrong) > 1 else ""
        raise ConfigError(count + "\n".join(wrong))
    origin = {key: entries[key].origin if key in entries else DEFAULT for key in known_keys()}
    return Resolved(config, origin)


def _url_faults(key: str, entry: _Entry) -> list[str]:
    """Why a value may not be a URL, if it is one."""
    values = entry.value if isinstance(entry.value, list) else [entry.value]
    found = []
    for value in values:
        if key in ("data", "output", "prior.path"):
            continue
        try:
            check_no_url(key, value if isinstance(value, str) else "")
        except ConfigError as error:
            found.append(f"{entry.place.removesuffix(key)}{error}")
    return found


def _nested(given: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in given.items():
        section, _, name = key.rpartition(".")
        (tree.setdefault(section, {}) if section else tree)[name] = value
    return tree


def _is_text(text: str) -> bool:
    """Whether the text is valid UTF-8: file names may be arbitrary bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _from_tree(tree: Mapping[str, Any], origin: str, wrong: list[str]) -> _Entries:
    """Entries of a file; errors of its keys are appended to `wrong`."""
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
                    found[dotted] = _Entry(own, origin, f"{origin}: {toml_name(dotted)}")
                else:
                    hint = suggest_key(name, key)
                    wrong.append(f"{origin}: [{name}] {key_as_toml(key)}: unknown key{hint}")
        elif name in known_keys():
            found[name] = _Entry(value, origin, f"{origin}: {name}")
        elif isinstance(value, dict):
            hint = suggest(name, sections(), "[{}]")
            wrong.append(f"{origin}: [{key_as_toml(name)}]: unknown section{hint}")
        else:
            wrong.append(f"{origin}: {key_as_toml(name)}: unknown key{suggest_key('', name)}")
    return found


def _from_environment(environment: Mapping[str, str], wrong: list[str]) -> _Entries:
    """Entries of environment variables; empty ones are ignored."""
    known = {environment_variable(key): key for key in known_keys()}
    starts = tuple(environment_variable(f"{section}.") for section in sections())
    found: _Entries = {}
    for name, text in sorted(environment.items()):
        if name in known and text:
            key = known[name]
            found[key] = _Entry(parse_value(key, text), name, f"{name}:")
        elif name.startswith(starts) and name not in known:
            wrong.append(f"{name}: unknown key{suggest_variable(name)}")
    return found


def _from_options(options: Mapping[str, Any], wrong: list[str]) -> _Entries:
    wrong += [
        f"--set {key}: unknown key{suggest_dotted(key)}"
        for key in options
        if key not in known_keys()
    ]
    return {
        key: _Entry(value, COMMAND_LINE, f"{COMMAND_LINE}: {key}")
        for key, value in options.items()
        if key in known_keys()
    }


def _from_recipe(named: _Entry | None, wrong: list[str]) -> _Entries:
    """Entries of the recipe that was asked for, if any."""
    if named is None or not isinstance(named.value, str) or not named.value:
        return {}
    name = named.value
    if name not in recipes():
        wrong.append(f"{named.place} {as_toml(name)}: unknown recipe{suggest(name, recipes())}")
        return {}
    return _from_tree(read_recipe(name), f"recipe {name}", wrong)
