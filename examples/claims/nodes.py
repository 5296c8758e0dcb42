"""The graph of the work: each node has a key, by which its result is found again.

A key is a hash of the node's kind and settings and of its inputs' keys, so another setting anywhere
before a node is another node. A result is a file or folder under a name with its key: whole or
absent, except of trainings, which are continued. A result of the same name that lies there already,
such as a link to an older run's folder, is taken as it is.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

RESULTS = ("model", "lora", "prior")
"""One of these folders is in the folder of a training that has ended."""
_SUFFIXES = {
    "random": ".safetensors", "sample": ".json", "clips": ".json", "motion-sample": ".json",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Node:
    """A piece of work.

    Attributes:
        kind: "clips", "random", "train-prior", "finetune", "truth" or "sample"; of motions
            "motion" (a training), "motion-truth" or "motion-sample".
        name: what a person reads; not a part of the key.
        settings: all that decides the result besides the inputs.
        needs: the nodes whose results are its inputs.
        units: its size, in what the seconds of a kind grow with.
    """

    kind: str
    name: str
    settings: Mapping[str, Any]
    needs: tuple[Node, ...] = ()
    units: float = 1.0

    @cached_property
    def key(self) -> str:
        """Twelve hexadecimal digits."""
        told = [self.kind, self.settings, [node.key for node in self.needs]]
        text = json.dumps(told, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def label(self) -> str:
        """Name of the result."""
        slug = re.sub(r"[^a-z0-9.=]+", "-", self.name.lower()).strip("-")
        return "-".join(part for part in (self.kind, slug, self.key) if part)

    def place(self, folder: Path) -> Path:
        """Of the result."""
        suffix = _SUFFIXES.get(self.kind, "")
        return folder / f"{self.label}{suffix}"

    def is_done(self, folder: Path) -> bool:
        """Whether the result is there, whole."""
        there = self.place(folder)
        if self.kind in ("finetune", "train-prior", "motion"):
            return any((there / result).is_dir() for result in RESULTS)
        if self.kind in ("truth", "motion-truth"):
            return (there / "truth.json").is_file()
        return there.is_file()

    def needed(self, name: str) -> Node:
        """The input of a kind."""
        return next(node for node in self.needs if node.kind == name)


def in_order(nodes: Iterable[Node]) -> Iterator[Node]:
    """The nodes with all that they need, each once, inputs first."""
    seen: set[str] = set()

    def visit(node: Node) -> Iterator[Node]:
        if node.key in seen:
            return
        seen.add(node.key)
        for need in node.needs:
            yield from visit(need)
        yield node

    for node in nodes:
        yield from visit(node)
