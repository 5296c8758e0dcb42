"""Where a run is: in a folder, or behind a URL, of which a folder of this machine is the copy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fbridge.files.atomic import shown

if TYPE_CHECKING:
    from fbridge.data.stores.url import StoreUrl


@dataclass(frozen=True)
class RunPlace:
    """The place of a run.

    Attributes:
        folder: where its files are read and written.
        store: where they go; None if the folder is all there is.
    """

    folder: Path
    store: StoreUrl | None = None

    def shown(self, path: Path | None = None) -> str:
        """How lines name the run, or a file in it."""
        if self.store is None:
            return shown(path or self.folder)
        name = "" if path is None else path.relative_to(self.folder).as_posix()
        return str(self.store / name if name else self.store)

    def told(self, text: str) -> str:
        """A text, such as an error, with the URL for the folder's name."""
        return text if self.store is None else text.replace(shown(self.folder), str(self.store))
