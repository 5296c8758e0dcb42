"""What all text encoders share: each distinct prompt is encoded once, and cut ends are told."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from fbridge.files.hashing import ORIGINAL, hash_files

REMEMBERED_BYTES = 2**28
SUFFIXES = {".json", ".safetensors", ".txt", ".model"}
"""Of the files that an encoder's hash covers."""
_AT_ONCE = 64


class Origin(NamedTuple):
    """Where a text encoder is from.

    Attributes:
        name: as it was asked for.
        folder: that it is loaded from.
        parts: subfolders of model and tokenizer, and of a second pair; "" is the folder itself.
    """

    name: str
    folder: Path
    parts: tuple[str, ...] = ("",)

    @property
    def hash(self) -> str:
        """sha256 over weights, configuration and vocabulary."""
        files = [path for part in self.parts for path in sorted((self.folder / part).iterdir())]
        known = [path for path in files if path.suffix in SUFFIXES or path.stem == ORIGINAL]
        return hash_files(known, relative_to=self.folder)


class PromptEncoder(ABC):
    """Prompts to token embeddings; those of the latest prompts are kept.

    Args:
        max_tokens: of a prompt; what is beyond is cut.
        origin: None of one made in memory.
    """

    def __init__(self, max_tokens: int, origin: Origin | None) -> None:
        self.max_tokens = max_tokens
        self.origin = origin
        self._seen: dict[str, Tensor] = {}

    @property
    def name(self) -> str:
        """As it was asked for; "" of one made in memory."""
        return "" if self.origin is None else self.origin.name

    @cached_property
    def hash(self) -> str:
        """sha256 over its weights, configuration and vocabulary; "" of one made in memory."""
        return "" if self.origin is None else self.origin.hash

    def __call__(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Token embeddings (B, L, D) float32 and mask (B, L); L is the longest prompt's."""
        if sum(row.nbytes for row in self._seen.values()) > REMEMBERED_BYTES:
            self._seen.clear()
        new = [p for p in dict.fromkeys(prompts) if p not in self._seen]
        for start in range(0, len(new), _AT_ONCE):
            part = new[start : start + _AT_ONCE]
            self._seen.update(zip(part, self._embed(part), strict=True))
        return _padded([self._seen[p] for p in prompts])

    def one_by_one(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """As a call, but each prompt is embedded alone.

        Others beside it, which pad it, change its embedding in the last bits.
        """
        alone = {prompt: self._embed([prompt])[0] for prompt in dict.fromkeys(prompts)}
        return _padded([alone[prompt] for prompt in prompts])

    def forget(self) -> None:
        """Embed all prompts of the next call anew, together."""
        self._seen.clear()

    @abstractmethod
    def to(self, device: str) -> None:
        """Move its networks to a device."""

    @abstractmethod
    def unread(self, prompts: Sequence[str]) -> list[str]:
        """The end of each prompt that is beyond `max_tokens` and cut; "" where all is read."""

    @abstractmethod
    def _embed(self, prompts: list[str]) -> list[Tensor]:
        """Token embeddings (L, D) float32 of each prompt, on the CPU."""

    def describe_unread(self, prompts: Sequence[str]) -> str:
        """One line on the prompts whose end is not read, the first with its words; "" if none."""
        long = [(one, end) for one, end in zip(prompts, self.unread(prompts), strict=True) if end]
        if not long:
            return ""
        (prompt, end), more = long[0], f" and {len(long) - 1} more" if len(long) > 1 else ""
        return (
            f"the text encoder reads {self.max_tokens} tokens, and the prompt "
            f"{_shortened(prompt, 40)!r}{more} {'have' if more else 'has'} more; not read is its "
            f"end: {_shortened(end, 200)!r}"
        )


def _padded(rows: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Embeddings (L, D) as one tensor, with their mask."""
    text = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    lengths = torch.tensor([len(row) for row in rows])
    return text, torch.arange(text.shape[1])[None] < lengths[:, None]


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."
