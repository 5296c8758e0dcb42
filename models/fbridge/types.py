"""Types and axes that all modules share.

Axis legend: B videos of a batch, F frames, C channels, H height, W width, L text tokens, D features
of a token. Latents are (B, F, C, H, W); times are float64 of shape (B,), **0 = data, 1 = prior**.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

Latents: TypeAlias = Tensor
"""(B, F, C, H, W): a video as the denoiser sees it, in the codec's latent space."""

Times: TypeAlias = Tensor
"""(B,) float64 in [0, 1]; 0 = data, 1 = prior."""


class View(NamedTuple):
    """B pictures as a codec has encoded them.

    Attributes:
        image_latents: (B, C', H, W) what the networks are given of the pictures.
        image_log_variance: of the same shape, where the codec is stochastic; else None.
        scenes: one entry a picture; the picture itself for codecs of pixels, else the codec's own.
        notes: lines for each picture on what of its prompt it does not hold; empty for none at all.
    """

    image_latents: Tensor
    image_log_variance: Tensor | None
    scenes: tuple[Any, ...]
    notes: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Condition:
    """What a network is given besides the bridge state: prompt, picture, class.

    Attributes:
        prompt_embeds: (B, L, D) token embeddings of the prompt.
        prompt_mask: (B, L) bool, True where a token is real; a row may be False throughout.
        image_latents: (B, C', H, W) the codec's encoding of the picture, on the latent's grid.
        class_labels: (B,) int64 of a class-conditional model, -1 = none; None of any other model.
        image_embeds: (B, S, D') tokens of an image encoder; None where the model has none.
        prompts: the B prompts as text, for what reads words and not embeddings; None: not known.
        image_dropped: (B,) bool, True where the picture has been left out; None: nowhere.
    """

    prompt_embeds: Tensor
    prompt_mask: Tensor
    image_latents: Tensor
    class_labels: Tensor | None = None
    image_embeds: Tensor | None = None
    prompts: tuple[str, ...] | None = None
    image_dropped: Tensor | None = None

    def with_prompt(self, prompt_embeds: Tensor, prompt_mask: Tensor) -> Condition:
        """The same picture and class with another prompt."""
        return replace(self, prompt_embeds=prompt_embeds, prompt_mask=prompt_mask, prompts=None)

    def without_image(self) -> Condition:
        """The same prompt and class, all that describes the picture set to zero."""
        embeds, latents = self.image_embeds, self.image_latents
        return replace(
            self,
            image_latents=torch.zeros_like(latents),
            image_embeds=None if embeds is None else torch.zeros_like(embeds),
            image_dropped=latents.new_ones(len(latents), dtype=torch.bool),
        )
