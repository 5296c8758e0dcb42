"""JSON files that carry their own hash, so that a changed bit is noticed wherever it is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

_KEY = "sha256"


def sealed_text(tree: Mapping[str, Any]) -> str:
    """An object as JSON with the key "sha256": the hash of the same text with "" in its place."""
    tree = json.loads(json.dumps(tree))  # keys as they are read again, which decides their order
    return _text({**tree, _KEY: _hash(tree)})


def read_sealed(text: str, version: int) -> dict[str, Any]:
    """The object in a text, without its hash.

    One without a hash is older, and one whose "format" is not `version` may be written in another
    way: neither is compared.

    Raises:
        ValueError: it is no JSON object, or is not as it was written.
    """
    tree = json.loads(text)
    if not isinstance(tree, dict):
        raise ValueError("it holds no JSON object")
    if _KEY not in tree or tree.get("format") != version:
        return tree
    own = tree.pop(_KEY)
    if own != _hash(tree) or text != _text({**tree, _KEY: own}):
        raise ValueError("its content does not fit the hash in it")
    return tree


def _hash(tree: Mapping[str, Any]) -> str:
    return hashlib.sha256(_text({**tree, _KEY: ""}).encode()).hexdigest()


def _text(tree: Mapping[str, Any]) -> str:
    return json.dumps(tree, indent=1, sort_keys=True) + "\n"
