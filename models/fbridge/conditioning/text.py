"""Prompts as token embeddings, each distinct prompt encoded once, by one encoder or by two."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from fbridge.conditioning.prompt_specs import PromptSpec
from fbridge.words.encoder import Origin, PromptEncoder

MAX_TOKENS = 512
"""The default limit of a prompt's tokens."""


class TextEncoder(PromptEncoder):
    """A transformers encoder with its tokenizer; frozen, and its embeddings are cached.

    Args:
        model: its last hidden states are the embeddings.
        tokenizer: of the model.
        max_tokens: of a prompt; what is beyond is cut. None is what tokenizer and model can take,
            at most 512.
        reading: how the model's family encodes prompts; sets the default of `max_tokens`.
        origin: None of one made in memory.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        max_tokens: int | None = None,
        reading: PromptSpec | None = None,
        origin: Origin | None = None,
    ) -> None:
        usual = _most_tokens(model, tokenizer) if reading is None else reading.max_tokens
        super().__init__(usual if max_tokens is None else max_tokens, origin)
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.reading = reading or PromptSpec(self.max_tokens)
        self._takes = set(inspect.signature(model.forward).parameters)

    def to(self, device: str) -> None:
        """Move its networks to a device."""
        self.model.to(device)

    def unread(self, prompts: Sequence[str]) -> list[str]:
        """The end of each prompt that is beyond `max_tokens` and cut; "" where all is read."""
        if not prompts:
            return []
        exact = bool(getattr(self.tokenizer, "is_fast", False))  # it knows each token's place
        options = {"truncation": False, "verbose": False, "add_special_tokens": False}
        tokens = self.tokenizer(list(prompts), return_offsets_mapping=exact, **options)
        room = max(0, self.max_tokens - self.tokenizer.num_special_tokens_to_add())
        if not exact:
            return [self.tokenizer.decode(row[room:]) for row in tokens["input_ids"]]
        return [
            prompt[row[room][0] :].strip() if len(row) > room else ""
            for prompt, row in zip(prompts, tokens["offset_mapping"], strict=True)
        ]

    @torch.no_grad()
    def _embed(self, prompts: list[str]) -> list[Tensor]:
        filled = self.reading.padded
        tokens = self.tokenizer(
            prompts,
            padding="max_length" if filled else True,
            truncation=True,
            max_length=self.max_tokens,
            return_tensors="pt",
        )
        if self.reading.pad_token is not None:
            tokens["input_ids"][tokens["attention_mask"] == 0] = self.reading.pad_token
        device = working_device(self.model)
        names = self._takes - {"attention_mask"} if filled else self._takes
        given = {name: ids for name, ids in tokens.to(device).items() if name in names}
        hidden = self.model(**given).last_hidden_state.float().cpu()
        if self.reading.keep_padding:
            return list(hidden)
        masks = tokens["attention_mask"].bool().cpu()
        return [row[mask] for row, mask in zip(hidden, masks, strict=True)]


class PairTextEncoder(TextEncoder):
    """HunyuanVideo's two encoders: CLIP's pooled vector is the first row, LLaMA's tokens follow.

    Prompts are encoded by diffusers' own pipeline: in its template, LLaMA's last layers skipped.

    Args:
        model, tokenizer: LLaMA's.
        second, second_tokenizer: CLIP's.
        max_tokens, reading, origin: as `TextEncoder` takes them.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        second: Any,
        second_tokenizer: Any,
        *,
        max_tokens: int | None = None,
        reading: PromptSpec | None = None,
        origin: Origin | None = None,
    ) -> None:
        super().__init__(model, tokenizer, max_tokens=max_tokens, reading=reading, origin=origin)
        self.second = second.eval().requires_grad_(False)
        self.second_tokenizer = second_tokenizer

    def to(self, device: str) -> None:
        """Move its networks to a device."""
        super().to(device)
        self.second.to(device)

    @torch.no_grad()
    def _embed(self, prompts: list[str]) -> list[Tensor]:
        from diffusers import HunyuanVideoPipeline

        pipeline = HunyuanVideoPipeline(
            text_encoder=self.model,
            tokenizer=self.tokenizer,
            transformer=None,
            vae=None,
            scheduler=None,
            text_encoder_2=self.second,
            tokenizer_2=self.second_tokenizer,
        )
        device = working_device(self.model, self.second)
        rows, pooled, mask = pipeline.encode_prompt(
            prompt=prompts, max_sequence_length=self.max_tokens, device=device
        )
        found = []
        for row, whole, real in zip(rows, pooled, mask.bool(), strict=True):
            first = F.pad(whole.float(), (0, row.shape[-1] - len(whole)))
            found.append(torch.cat([first[None], row[real].float()]).cpu())
        return found


def working_device(*models: Any) -> torch.device:
    """The device on which networks compute, also where their weights are offloaded."""
    for model in models:
        for module in model.modules():
            hook = getattr(module, "_hf_hook", None)
            place = getattr(hook, "execution_device", None)
            if place is not None:
                return torch.device(place)
    held = [next(model.parameters()).device for model in models]
    return next((place for place in held if place.type != "cpu"), held[0])


def _most_tokens(model: Any, tokenizer: Any) -> int:
    places = getattr(model.config, "max_position_embeddings", None) or MAX_TOKENS
    return int(min(tokenizer.model_max_length, places, MAX_TOKENS))
