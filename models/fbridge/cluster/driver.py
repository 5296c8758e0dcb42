"""What the nodes of a cluster must have in common with the process that starts the work."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from fbridge.errors import DependencyError

DECISIVE = ("fbridge", "torch")
"""Packages that decide the bytes of a result, besides those that are named where they do."""


@dataclass(frozen=True)
class Driver:
    """The process that starts the work.

    Attributes:
        folder: its working directory, which relative paths begin at.
        versions: of Python and of packages, without those of CPU and CUDA builds.
    """

    folder: str
    versions: dict[str, str]

    @classmethod
    def here(cls, packages: Sequence[str] = DECISIVE) -> Driver:
        """This process."""
        return cls(str(Path.cwd()), versions(packages))

    def adopt(self) -> None:
        """Make an actor like it: an actor begins in the folder in which its node was started.

        Raises:
            DependencyError: a package has another version here.
        """
        with suppress(OSError):  # of a node without that folder, which has no files of it either
            os.chdir(self.folder)
        here = versions(tuple(name for name in self.versions if name != "python"))
        for name, there in self.versions.items():
            if name != "python" and here[name] != there:
                raise DependencyError(
                    f"has {name} {here[name] or 'not installed'}, and the process that started the "
                    f"work {there}, whose results may differ; install the same on all nodes"
                )


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Versions of Python and of packages here, whatever the build; "" of one that is missing."""
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = metadata.version(name).partition("+")[0]
        except metadata.PackageNotFoundError:
            found[name] = ""
    return found
