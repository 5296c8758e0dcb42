"""LAION's first aesthetic predictor: a linear layer over CLIP ViT-L/14, as in VBench."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fbridge.evaluation.networks.load import MetricNetwork

WIDTH = 768
"""Length of a ViT-L/14 embedding."""


class Aesthetic(MetricNetwork):
    """Embeddings (T, 768) of frames to predicted human ratings (T,), about 1 to 10.

    VBench's aesthetic_quality is the mean rating over frames divided by 10; embeddings are those
    of `CLIPLarge.features(frames, exact=False)`. The file holds "weight" (1, 768) and "bias" (1,).
    """

    title = "aesthetic"
    weights = ("aesthetic",)

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(WIDTH, 1)

    @classmethod
    def renamed(cls, state: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """The tensors of the only layer."""
        return ((f"line.{name}", held) for name, held in state.items())

    @torch.inference_mode()
    def forward(self, embeddings: Tensor) -> Tensor:
        """(T,) ratings of embeddings (T, 768), which are normalised first."""
        ratings: Tensor = self.line(F.normalize(embeddings, dim=-1))
        return ratings[:, 0]
