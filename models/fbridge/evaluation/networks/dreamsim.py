"""DreamSim's ensemble (Fu et al. 2023, arXiv 2306.09344): perceptual similarity of pictures.

Three Vision Transformers B/16 side by side, fine-tuned by LoRA on their attention layers:
DINO's class token as its last block gives it (before the last norm), then the projected embeddings
of OpenAI's CLIP and of OpenCLIP. The distance of two pictures is 1 minus the cosine of their rows,
and PIC (DynamiCrafter, arXiv 2310.12190) is the mean cosine of frames and the picture.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from typing_extensions import Self

from fbridge.errors import CheckpointError
from fbridge.evaluation.networks.dino import EPS
from fbridge.evaluation.networks.load import MetricNetwork
from fbridge.evaluation.networks.pictures import CLIP, IMAGENET, by_pillow, in_parts
from fbridge.evaluation.networks.vit import VisionTransformer

SCALE = 0.5 / 16
"""LoRA scale: lora_alpha / r in the published adapter's configuration."""

_SIDE = 224
_CLIP_EPS = 1e-5
_CHANGE = re.compile(r"extractor_list\.([012])\..*?(blocks\.\d+\.attn\.qkv)\.lora_([AB])\b")


class DreamSim(MetricNetwork):
    """Pictures to embeddings (N, 768 + 512 + 512) of mean 0 and norm 1.

    Args:
        dino, clip, open_clip: the networks, CLIP's with their projections (W, D).
    """

    title = "DreamSim"
    weights = ("dreamsim-dino", "dreamsim-clip", "dreamsim-open-clip", "dreamsim-lora")
    clip_projection: Tensor
    open_clip_projection: Tensor

    def __init__(
        self,
        dino: VisionTransformer,
        clip: VisionTransformer,
        clip_projection: Tensor,
        open_clip: VisionTransformer,
        open_clip_projection: Tensor,
    ) -> None:
        super().__init__()
        self.dino, self.clip, self.open_clip = dino, clip, open_clip
        self.register_buffer("clip_projection", clip_projection)
        self.register_buffer("open_clip_projection", open_clip_projection)

    @classmethod
    def from_state(cls, *states: Mapping[str, Tensor], scale: float = SCALE) -> Self:
        """The ensemble with its fine-tuning merged in, ready to measure.

        Args:
            states: of DINO, in its authors' names; the "state_dict" of CLIP and of OpenCLIP, in
                DINO's names, with "proj"; the adapter in peft's names, LoRA A and B of each block.
            scale: of the LoRA: `lora_alpha` / `r` of `ensemble_lora/adapter_config.json`.

        Raises:
            CheckpointError: They are of other networks.
        """
        dino, clip, open_clip = _merged(states[:3], states[3], scale)
        network = cls(
            VisionTransformer.from_state(dino, eps=EPS),
            *_tower(clip, quick=True),
            *_tower(open_clip, quick=False),
        )
        return network.eval().requires_grad_(requires_grad=False)

    def forward(self, images: Tensor) -> Tensor:
        """(N, D) of pictures (N, 3, 224, 224) in [0, 1]."""
        ours, theirs = IMAGENET.standardised(images), CLIP.standardised(images)
        parts = [
            self.dino.tokens(ours)[:, 0],
            self.clip(theirs) @ self.clip_projection,
            self.open_clip(theirs) @ self.open_clip_projection,
        ]
        rows = torch.cat(parts, dim=-1)
        rows = rows - rows.mean(dim=-1, keepdim=True)
        return rows / rows.norm(dim=-1, keepdim=True)

    @torch.inference_mode()
    def features(self, frames: Tensor) -> Tensor:
        """(T, D) of frames (T, H, W, 3) uint8, resized to 224 x 224 (aspect ratio not kept)."""
        device = self.clip_projection.device
        return in_parts(lambda part: self(by_pillow(part, (_SIDE, _SIDE))), frames, device)


def _tower(state: dict[str, Tensor], *, quick: bool) -> tuple[VisionTransformer, Tensor]:
    projection = state.pop("proj", None)
    if projection is None:
        raise CheckpointError("DreamSim's CLIP weights lack 'proj'; are they CLIP's own?")
    return VisionTransformer.from_state(state, eps=_CLIP_EPS, quick=quick), projection


def _merged(
    states: Sequence[Mapping[str, Tensor]], changes: Mapping[str, Tensor], scale: float
) -> list[dict[str, Tensor]]:
    """The states with `scale` B A added to every block's queries, keys and values."""
    factors: dict[tuple[int, str], dict[str, Tensor]] = {}
    for name, factor in changes.items():
        match = _CHANGE.search(name)
        if match is None:
            raise CheckpointError(f"DreamSim's adapter has {name!r}, which changes no attention")
        number, weight, letter = match.groups()
        factors.setdefault((int(number), f"{weight}.weight"), {})[letter] = factor
    merged = [dict(state) for state in states]
    wanted = {(n, k) for n, state in enumerate(merged) for k in state if k.endswith("qkv.weight")}
    if factors.keys() != wanted or any(pair.keys() != {"A", "B"} for pair in factors.values()):
        found = f"it is for {len(factors)} of {len(wanted)} blocks"
        raise CheckpointError(f"DreamSim's adapter is incomplete or another network's: {found}")
    for (number, weight), pair in factors.items():
        change = pair["B"] @ pair["A"]
        if change.shape != merged[number][weight].shape:
            raise CheckpointError("DreamSim's adapter is of networks of another width")
        merged[number][weight] = merged[number][weight] + scale * change
    return merged
