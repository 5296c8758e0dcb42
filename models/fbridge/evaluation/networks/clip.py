"""CLIP (Radford et al. 2021) by transformers, from verified files: frames and captions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import Self

from fbridge.conditioning.clip_tokenizer import TOKENS, tokenizer
from fbridge.evaluation.networks.load import MetricNetwork
from fbridge.evaluation.networks.pictures import CLIP, by_pillow, fitted, in_parts, middle, planes
from fbridge.weights import CLIP_MERGES, find_weights, read_file

if TYPE_CHECKING:
    from transformers import CLIPTokenizerFast

SIDE = 224
_HEAD = 64  # channels of an attention head in all published sizes


class CLIPNetwork(MetricNetwork):
    """ViT-B/32: embeddings of frames and captions in one space, not normalised.

    Args:
        model: transformers' CLIPModel, whose names the file has.
    """

    title = "CLIP"
    weights: ClassVar[tuple[str, ...]] = ("clip",)

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    @classmethod
    def empty(cls, state: Mapping[str, Tensor]) -> Self:
        """Its size follows from the shapes of the weights."""
        from transformers import CLIPConfig, CLIPModel

        return cls(CLIPModel(CLIPConfig(**_sizes(state))))

    @classmethod
    def renamed(cls, state: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """Without the position ids of old files, which are no weights."""
        for name, held in state.items():
            if not name.endswith("position_ids"):
                yield f"model.{name}", held

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


class CLIPLarge(CLIPNetwork):
    """ViT-L/14."""

    weights = ("clip-l14",)


@lru_cache(maxsize=1024)
def text_features(caption: str) -> Tensor:
    """(D,) embedding of a caption by the published ViT-B/32; it is cut at 77 tokens.

    Raises:
        CheckpointError: The weights or the merges are missing.
    """
    numbers, _ = tokenize(caption)
    return CLIPNetwork.load().text(numbers)[0].cpu()


def tokenize(caption: str) -> tuple[Tensor, bool]:
    """(1, 77) token ids of a caption, and whether it had to be cut to that length.

    Raises:
        CheckpointError: The file of merges is missing or is not the published one.
    """
    ids = _tokenizer()(caption, verbose=False)["input_ids"]
    return padded(ids), len(ids) > TOKENS


def padded(ids: list[int]) -> Tensor:
    """(1, 77) token ids: the last one, the end token, repeated, or in last place of a cut text."""
    end = ids[-1]
    kept = [*ids[: TOKENS - 1], end]
    return torch.tensor([kept + [end] * (TOKENS - len(kept))])


@lru_cache(maxsize=1)
def _tokenizer() -> CLIPTokenizerFast:
    return tokenizer(read_file(CLIP_MERGES, find_weights(CLIP_MERGES)).decode("utf-8"))


def cropped_by_pillow(frames: Tensor) -> Tensor:
    """(T, 3, 224, 224), standardised, as CLIP's authors prepare pictures."""
    size = fitted(frames.shape[1], frames.shape[2], SIDE)
    return CLIP.standardised(middle(by_pillow(frames, size), SIDE))


def cropped_by_torch(frames: Tensor) -> Tensor:
    """(T, 3, 224, 224), standardised, as VBench prepares videos."""
    size = fitted(frames.shape[1], frames.shape[2], SIDE)
    images = F.interpolate(planes(frames), size, mode="bicubic")
    return CLIP.standardised(middle(images, SIDE))


def _sizes(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Configuration for transformers, from the shapes of the weights."""
    words, width = state["text_model.embeddings.token_embedding.weight"].shape
    patches = state["vision_model.embeddings.patch_embedding.weight"]
    places = len(state["vision_model.embeddings.position_embedding.weight"])
    text = _tower(state, "text_model", width)
    text |= {
        "vocab_size": words,
        "max_position_embeddings": len(state["text_model.embeddings.position_embedding.weight"]),
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
