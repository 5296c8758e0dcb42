"""A tokenizer of nine words, as T5's: ended by </s>, filled with <pad>."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

VOCABULARY = ["<pad>", "</s>", "<unk>", "a", "cat", "jumps", "over", "the", "dog"]
FEATURES = 16
"""Of a token, after the small encoders of the tests."""


def t5_tokenizer(longest: int = 512) -> PreTrainedTokenizerFast:
    """Words by white space."""
    core = Tokenizer(WordLevel({word: i for i, word in enumerate(VOCABULARY)}, unk_token="<unk>"))
    core.pre_tokenizer = Whitespace()
    core.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", eos_token="</s>", unk_token="<unk>",
        model_max_length=longest,
    )  # fmt: skip


def save_tokenizer(folder: Path, *, longest: int) -> None:
    """That tokenizer in a folder."""
    t5_tokenizer(longest).save_pretrained(folder)
