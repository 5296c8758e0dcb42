"""LoRAs of the text-to-video model in a pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from fbridge.backbones.families import family_of
from fbridge.files.lora_record import LoraRecord
from fbridge.loaders.experts import Expert
from fbridge.loaders.lora_choice import parse_lora
from fbridge.loaders.lora_merge import MergedLora, merge_loras
from fbridge.loaders.pair_loras import check_loras, loras_of_pair


class LoraMerging:
    """The part of `fbridge.pipeline.FrameBridgePipeline` that merges LoRAs and remembers them."""

    transformer: Any
    transformer_2: Any
    scheduler: Any
    _loras: tuple[LoraRecord, ...] = ()
    _lora_notes: tuple[str, ...] = ()

    @cached_property
    def _distilled(self) -> set[str]:
        """The networks that a distilled LoRA was merged into: "high" and "low", or ""."""
        return set()

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
        of steps and guidance; of a pair of networks, those of its own guidance, and of steps where
        each has one.

        Args:
            file: of any form that `fbridge.loaders.lora_file` reads, or FILE:WEIGHT; of a pair of
                networks with @high or @low behind it, where the name does not tell for which.
            weight: that its differences are multiplied by; None is 1.

        Raises:
            CheckpointError: there is no such file, it is not understood in full, or does not fit.
            ConfigError: this network takes none, or is offloaded, quantised or cast already; or it
                is not told for which of two networks the LoRA is.
        """
        choice = parse_lora(str(file), "load_lora")
        if weight is not None:
            choice = replace(choice, weight=weight)
        known, pair = self.scheduler.config.base or {}, self.transformer_2 is not None
        own: Expert = "low" if "highest" in known else "high" if "lowest" in known else ""
        family = family_of(self.transformer)
        check_loras([choice], family, "this one", expert=own, pair=pair)
        network = self.transformer
        if pair:
            low = loras_of_pair([choice])["low"]
            choice = replace(choice, network="low" if low else "high")
            network = self.transformer_2 if low else self.transformer
        (merged,) = merge_loras(network, [choice])
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
        for lora in (lora for lora in merged[own:] if lora.steps is not None):
            network = lora.record.network
            self._distilled.add(network)
            scale = "guidance_scale_2" if network == "low" else "guidance_scale"
            self.scheduler.register_to_config(**{scale: 1.0})
            if self._distilled >= ({"high", "low"} if network else {""}):
                self.scheduler.register_to_config(steps=lora.steps)
