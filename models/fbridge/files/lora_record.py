"""How records name the LoRAs that a base was changed by."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class LoraRecord:
    """A LoRA that a base was changed by.

    Attributes:
        name: of its file, without folders.
        sha256: of its file.
        weight: that its differences were multiplied by.
        path: absolute; None where it is not recorded.
    """

    name: str
    sha256: str
    weight: float = 1.0
    path: str | None = None

    def tree(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)
