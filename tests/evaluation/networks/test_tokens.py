"""CLIP's tokenizer from its table of merges."""

from __future__ import annotations

from pathlib import Path

import pytest

from fbridge.conditioning.clip_tokenizer import TOKENS, tokenizer
from fbridge.errors import CheckpointError
from fbridge.evaluation.networks.clip import _tokenizer, padded, tokenize

MERGES = "#version: 0.2\nl o\nlo w</w>\ne r</w>\nlo w\nlow er</w>\n"


def test_vocabulary_follows_from_merges() -> None:
    table = tokenizer(MERGES)
    assert len(table) == 512 + 5 + 2
    numbers = {"!": 0, "a": 64, "!</w>": 256, "lo": 512, "low</w>": 513, "lower</w>": 516}
    numbers |= {"<|startoftext|>": 517, "<|endoftext|>": 518}
    assert {word: table.convert_tokens_to_ids(word) for word in numbers} == numbers


def test_bytes_have_letters_of_their_own() -> None:
    letters = tokenizer(MERGES).convert_ids_to_tokens(range(256))
    assert len(set(letters)) == 256
    assert not any(letter.isspace() for letter in letters)
    assert letters[:3] == ["!", '"', "#"]
    assert letters[188] == "Ā"  # the zero byte


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("low", ["low</w>"]),
        ("LOW \n lower", ["low</w>", "lower</w>"]),
        ("a1b", ["a</w>", "1</w>", "b</w>"]),
        ("it's", ["i", "t</w>", "'", "s</w>"]),
        ("é", ["Ã", "©</w>"]),
        ("", []),
    ],
)
def test_words(caption: str, words: list[str]) -> None:
    assert tokenizer(MERGES).tokenize(caption) == words


def test_padding_and_cutting() -> None:
    short = padded([517, 3, 518])
    assert short.shape == (1, TOKENS)
    assert short[0, :4].tolist() == [517, 3, 518, 518]
    assert set(short[0, 2:].tolist()) == {518}
    cut = padded([517, *range(100), 518])
    assert cut.shape == (1, TOKENS)
    assert cut[0, 1:].tolist() == [*range(75), 518]
    exact = padded([517, *range(75), 518])
    assert exact.tolist() == cut.tolist()


def test_missing_table_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FBRIDGE_CACHE", str(tmp_path))
    monkeypatch.setenv("FBRIDGE_CLIP_MERGES", str(tmp_path / "none.txt"))
    _tokenizer.cache_clear()
    with pytest.raises(CheckpointError, match=r"clip-merges\.txt.*524657 bytes"):
        tokenize("a cat")


def test_genuine_numbers() -> None:
    try:
        numbers, cut = tokenize("a photo of a cat")
    except CheckpointError as error:
        pytest.skip(f"CLIP's table of merges is not on this machine: {error}")
    assert not cut
    assert numbers[0, :7].tolist() == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert tokenize("cat " * 76)[1]
    assert not tokenize("cat " * 75)[1]
