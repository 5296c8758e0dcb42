"""CLIP (Radford et al. 2021) by transformers, from verified files: frames and captions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fbridge.evaluation.networks.load import load_network
from fbridge.evaluation.networks.pictures import CLIP, by_pillow, fitted, in_parts, middle
from fbridge.evaluation.networks.tokens import tokenize
from fbridge.weights import CLIP_VIT_B32, CLIP_VIT_L14, load_weights

SIDE = 224
_HEAD = 64  # channels of an attention head in all published sizes


class CLIPNetwork(nn.Module):
    """Embeddings of frames and captions in one space, not normalised.

    Args:
        model: transformers' CLIPModel.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> CLIPNetwork:
        """The network with weights in transformers' names; its size follows from their shapes.

        Raises:
            CheckpointError: They are of another network.
        """
        from transformers import CLIPConfig, CLIPModel

        own = {name: held for name, held in state.items() if not name.endswith("position_ids")}
        return cls(load_network("CLIP", lambda: CLIPModel(CLIPConfig(**_sizes(own))), own))

    @torch.inference_mode()
    def features(self, frames: Tensor, *, exact: bool) -> Tensor:
        """(T, D) of frames (T, H, W, 3) uint8; D is 512 for ViT-B/32, 768 for ViT-L/14.

        Args:
            frames: of any size; the shorter side becomes 224, then the centre is cropped.
            exact: resize as CLIP's authors do, by Pillow's bicubic; else by torch's bicubic without
                antialiasing, as VBench does.
        """
        prepare = cropped_by_pillow if exact else cropped_by_torch
        device = self.model.logit_scale.device
        return in_parts(lambda part: self._seen(prepare(part)), frames, device)

    @torch.inference_mode()
    def text(self, tokens: Tensor) -> Tensor:
        """(N, D) of token ids (N, 77), each row ending with the end token, the highest id."""
        found = self.model.text_model(input_ids=tokens.to(self.model.logit_scale.device))
        projected: Tensor = self.model.text_projection(found.pooler_output)
        return projected

    def _seen(self, images: Tensor) -> Tensor:
        pooled = self.model.vision_model(pixel_values=images).pooler_output
        projected: Tensor = self.model.visual_projection(pooled)
        return projected


@lru_cache(maxsize=1)
def load_clip(path: Path | None = None) -> CLIPNetwork:
    """ViT-B/32 with the published weights.

    Raises:
        CheckpointError: The weights are missing or not the genuine ones.
    """
    return CLIPNetwork.from_state(load_weights(CLIP_VIT_B32, path))


def load_clip_l14() -> CLIPNetwork:
    """ViT-L/14 with the published weights.

    Raises:
        CheckpointError: The weights are missing or not the genuine ones.
    """
    return CLIPNetwork.from_state(load_weights(CLIP_VIT_L14))


@lru_cache(maxsize=1024)
def text_features(caption: str, path: Path | None = None, merges: Path | None = None) -> Tensor:
    """(D,) embedding of a caption by the published ViT-B/32; it is cut at 77 tokens.

    Args:
        caption: any text; `tokens.tokenize` returns whether it is cut.
        path: of the weights; None looks in the usual places.
        merges: of the tokenizer's merges; None looks in the usual places.

    Raises:
        CheckpointError: The weights or the merges are missing.
    """
    numbers, _ = tokenize(caption, merges)
    return load_clip(path).text(numbers)[0].cpu()


def cropped_by_pillow(frames: Tensor) -> Tensor:
    """(T, 3, 224, 224), standardised, as CLIP's authors prepare pictures."""
    size = fitted(frames.shape[1], frames.shape[2], SIDE)
    return CLIP.standardised(middle(by_pillow(frames, size), SIDE))


def cropped_by_torch(frames: Tensor) -> Tensor:
    """(T, 3, 224, 224), standardised, as VBench prepares videos."""
    images = frames.permute(0, 3, 1, 2).float() / 255
    size = fitted(frames.shape[1], frames.shape[2], SIDE)
    images = F.interpolate(images, size, mode="bicubic")
    return CLIP.standardised(middle(images, SIDE))


def _sizes(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Configuration for transformers, from the shapes of the weights."""
    words, width = state["text_model.embeddings.token_embedding.weight"].shape
    patches = state["vision_model.embeddings.patch_embedding.weight"]
    places = len(state["vision_model.embeddings.position_embedding.weight"])
    text = _tower(state, "text_model", width)
    text |= {
        "vocab_size": words,
        "max_position_embeddings": len(
            state["text_model.embeddings.position_embedding.weight"],
        ),
        "bos_token_id": words - 2,
        "eos_token_id": words - 1,
        "pad_token_id": words - 1,
    }
    vision = _tower(state, "vision_model", len(patches))
    vision |= {
        "patch_size": patches.shape[-1],
        "image_size": patches.shape[-1] * round((places - 1) ** 0.5),
    }
    across = len(state["visual_projection.weight"])
    return {"text_config": text, "vision_config": vision, "projection_dim": across}


def _tower(state: Mapping[str, Tensor], name: str, width: int) -> dict[str, Any]:
    layers = [key for key in state if key.startswith(name) and key.endswith("mlp.fc1.weight")]
    return {
        "hidden_size": width,
        "num_hidden_layers": len(layers),
        "intermediate_size": len(state[f"{name}.encoder.layers.0.mlp.fc1.weight"]),
        "num_attention_heads": width // _HEAD,
    }
