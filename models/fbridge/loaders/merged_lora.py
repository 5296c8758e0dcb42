"""What records and messages say about a LoRA that has been merged into a network."""

from __future__ import annotations

from dataclasses import dataclass

from fbridge.choices import NOISE
from fbridge.files.lora_record import LoraRecord


@dataclass(frozen=True)
class MergedLora:
    """A LoRA that has been merged.

    Attributes:
        record: which one.
        tensors: how many its file has; all of them were used.
        changed: how many tensors of the network it changed.
        steps: sampling steps that it was distilled to; None where it is not known to be distilled.
        whole: whether it has whole differences, as most distilled ones have.
    """

    record: LoraRecord
    tensors: int
    changed: int
    steps: int | None
    whole: bool

    @property
    def told(self) -> str:
        """What was merged, for users."""
        which = f" {NOISE[self.record.network]}" if self.record.network else ""
        return (
            f"LoRA {self.record.name}, weight {self.record.weight:g}: all of its {self.tensors} "
            f"tensors are merged, into {self.changed} of the network{which}"
        )

    @property
    def note_of_run(self) -> str:
        """The same, and what it means for the result of a training over it."""
        if self.steps is None:
            return self.told
        return (
            f"{self.told}; it is distilled, so the result samples in {self.steps} steps at "
            "guidance 1 unless told otherwise"
        )

    @property
    def note(self) -> str:
        """The same, and what it means for sampling."""
        if self.steps is not None and self.record.network:
            return (
                f"{self.told}; it is distilled, so guidance 1 is that network's default now, and "
                f"{self.steps} steps are the default where both networks have such a LoRA"
            )
        if self.steps is not None:
            return (
                f"{self.told}; it is distilled, so {self.steps} steps and guidance 1 are the "
                "defaults now (--steps, --guidance)"
            )
        if self.whole:
            return f"{self.told}; if it is distilled to few steps, add --steps 4 --guidance 1"
        return self.told
