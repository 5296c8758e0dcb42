"""LAION's first aesthetic predictor: a linear layer over CLIP ViT-L/14, as in VBench."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fbridge.evaluation.networks.load import load_network
from fbridge.weights import AESTHETIC, load_weights

WIDTH = 768
"""Length of a ViT-L/14 embedding."""


class Aesthetic(nn.Module):
    """Embeddings (T, 768) of frames to predicted human ratings (T,), about 1 to 10.

    VBench's aesthetic_quality is the mean rating over frames divided by 10; embeddings are those
    of `Clip.features(frames, exact=False)`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(WIDTH, 1)

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> Aesthetic:
        """From "weight" (1, 768) and "bias" (1,), as in `sa_0_4_vit_l_14_linear.pth`.

        Raises:
            CheckpointError: They are of another network.
        """
        return load_network("aesthetic", cls, ((f"line.{key}", state[key]) for key in state))

    @torch.inference_mode()
    def forward(self, embeddings: Tensor) -> Tensor:
        """(T,) ratings of embeddings (T, 768), which are normalised first."""
        ratings: Tensor = self.line(F.normalize(embeddings, dim=-1))
        return ratings[:, 0]


def load_aesthetic() -> Aesthetic:
    """The predictor with the published weights.

    Raises:
        CheckpointError: Its weights are missing or not the genuine ones.
    """
    return Aesthetic.from_state(load_weights(AESTHETIC))
