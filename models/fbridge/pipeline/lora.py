"""LoRAs of the text-to-video model in a pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fbridge.backbones.families import family_of
from fbridge.files.lora_record import LoraRecord
from fbridge.loaders.load import check_takes_loras
from fbridge.loaders.lora_choice import parse_lora
from fbridge.loaders.lora_merge import MergedLora, merge_loras


class LoraMerging:
    """The part of `fbridge.pipeline.FrameBridgePipeline` that merges LoRAs and remembers them."""

    transformer: Any
    transformer_2: Any
    scheduler: Any
    _loras: tuple[LoraRecord, ...] = ()
    _lora_notes: tuple[str, ...] = ()

    @property
    def loras(self) -> tuple[LoraRecord, ...]:
        """The LoRAs of the text-to-video model that were merged beside what the model is."""
        return self._loras

    @property
    def lora_notes(self) -> tuple[str, ...]:
        """What to know about them, a line each."""
        return self._lora_notes

    def load_lora(self, file: str | Path, weight: float | None = None) -> MergedLora:
        """Merge a LoRA of the text-to-video model into the network, for good.

        Summed in float32 and cast to the network's dtype; `from_pretrained(..., loras=[...])` does
        it before the first cast. One that is known to be distilled to few steps sets the defaults
        of steps and guidance.

        Args:
            file: of any form that `fbridge.loaders.lora_file` reads, or FILE:WEIGHT.
            weight: that its differences are multiplied by; None is 1.

        Raises:
            CheckpointError: there is no such file, it is not understood in full, or does not fit.
            ConfigError: this network takes none, or is one of a pair, or is offloaded, quantised or
                cast already.
        """
        choice = parse_lora(str(file), "load_lora")
        pair = self.transformer_2 is not None
        check_takes_loras(family_of(self.transformer), "this one", pair=pair)
        if weight is not None:
            choice = replace(choice, weight=weight)
        (merged,) = merge_loras(self.transformer, [choice])
        self.note_loras([merged])
        return merged

    def note_loras(self, merged: Sequence[MergedLora], *, own: int = 0) -> None:
        """Note merged LoRAs; the first `own` are the model's, which was trained over them.

        The others decide the defaults of steps and guidance where they are distilled.
        """
        self._loras = (*self._loras, *(lora.record for lora in merged[own:]))
        self._lora_notes = (
            *self._lora_notes,
            *(lora.told for lora in merged[:own]),
            *(lora.note for lora in merged[own:]),
        )
        for steps in [lora.steps for lora in merged[own:] if lora.steps is not None]:
            self.scheduler.register_to_config(steps=steps, guidance_scale=1.0)
