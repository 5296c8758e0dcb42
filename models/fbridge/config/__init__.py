"""Configuration of training: typed, read from TOML, with errors that name their place."""

from fbridge.config.keys import known_keys
from fbridge.config.read import Resolved, load_config
from fbridge.config.tree import Config
from fbridge.config.values import parse_change, recipes
from fbridge.config.write import to_schema, to_toml

__all__ = [
    "Config",
    "Resolved",
    "known_keys",
    "load_config",
    "parse_change",
    "recipes",
    "to_schema",
    "to_toml",
]
