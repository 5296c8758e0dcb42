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
        network: "low" or "high": that of a pair which it changed; "" of any other model, which is
            left out as in older records.
    """

    name: str
    sha256: str
    weight: float = 1.0
    path: str | None = None
    network: str = ""

    @property
    def label(self) -> str:
        """As `fbridge.loaders.lora_choice.parse_lora` takes it, without its folder."""
        return f"{self.name}:{self.weight:g}{self.network and f'@{self.network}'}"

    def tree(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            key: value for key, value in asdict(self).items() if (key, value) != ("network", "")
        }
