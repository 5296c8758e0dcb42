"""CLIP's tokenizer: transformers' own, made from the verified file of merges alone."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import CLIPTokenizerFast

TOKENS = 77
"""Length of a text for CLIP, start and end token included."""
START, END = "<|startoftext|>", "<|endoftext|>"


def tokenizer(merges: str) -> CLIPTokenizerFast:
    """A tokenizer that pads with the end token.

    The vocabulary follows from the merges: the 256 characters that stand for bytes, the same at the
    end of a word, one entry for each merge, start and end.

    Args:
        merges: content of merges.txt: a header line, then one pair of tokens a line.
    """
    from transformers import CLIPTokenizerFast
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    letters = list(bytes_to_unicode().values())
    words = [*letters, *(f"{letter}</w>" for letter in letters)]
    words += [line.replace(" ", "") for line in merges.split("\n")[1:] if line]
    ids = {word: number for number, word in enumerate([*words, START, END])}
    # Files are the one form that transformers 4 and 5 both take.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "vocab.json").write_text(json.dumps(ids), encoding="utf-8")
        Path(folder, "merges.txt").write_text(merges, encoding="utf-8")
        return CLIPTokenizerFast.from_pretrained(folder, model_max_length=TOKENS)
