"""CLIP's words: pairs of letters merged in a fixed order, lower case."""

from __future__ import annotations

from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import BPE

TOKENS = 77
"""Length of a text for CLIP, start and end counted."""
START, END = "<|startoftext|>", "<|endoftext|>"
_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def tokenizer(merges: str) -> Tokenizer:
    """From a table of merges, one a line behind a headline.

    The vocabulary follows from it: 256 letters that stand for bytes, the same as ends of words, the
    merges, start and end.
    """
    lines = [line.split(" ") for line in merges.split("\n")[1:] if line]
    pairs = [(first, second) for first, second in lines]
    letters = byte_letters()
    words = [*letters, *(f"{letter}</w>" for letter in letters)]
    words += ["".join(pair) for pair in pairs]
    words += [START, END]
    numbers = {word: number for number, word in enumerate(words)}
    found = Tokenizer(BPE(numbers, pairs, end_of_word_suffix="</w>", unk_token=END))
    found.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    found.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    return found


def byte_letters() -> list[str]:
    """The 256 characters that stand for bytes: printable ones for themselves."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(byte) for byte in printable] + [chr(256 + n) for n in range(256 - len(printable))]
