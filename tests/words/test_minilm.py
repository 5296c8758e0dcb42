"""The packaged encoder in plain torch: the same embeddings as transformers' of the same files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from fbridge.errors import CheckpointError
from fbridge.words.minilm import MiniLM, packaged_folder, packaged_minilm

PROMPTS = ["cat jumping", "", "Ünï 猫 twirls -- around!! (steam)", "a very long way " * 60]


def test_embeddings_are_those_of_transformers() -> None:
    text, mask = packaged_minilm()(PROMPTS)
    model = AutoModel.from_pretrained(packaged_folder()).eval()
    tokenizer = AutoTokenizer.from_pretrained(packaged_folder())
    for prompt, row, real in zip(PROMPTS, text, mask, strict=True):
        tokens = tokenizer([prompt], truncation=True, max_length=128, return_tensors="pt")
        with torch.no_grad():
            expected = model(**tokens).last_hidden_state[0]
        torch.testing.assert_close(row[real], expected, rtol=0, atol=1e-5)
        assert not row[~real].any()


def test_pooled_phrases_of_one_meaning_lie_near_each_other() -> None:
    hop, leap, car = packaged_minilm().pooled(["a cat jumps", "the kitten is leaping", "a red car"])
    assert float(hop.norm()) == pytest.approx(1, abs=1e-6)
    assert hop @ leap > 0.5 > hop @ car


def test_a_limit_of_tokens_cuts_and_tells() -> None:
    encode = MiniLM(packaged_folder(), max_tokens=5)
    assert encode.unread(["the cat jumps", "the cat jumps over dogs", ""]) == ["", "over dogs", ""]
    short, whole = encode(["the cat jumps over dogs", "the cat jumps"])[0]
    torch.testing.assert_close(short, whole)
    assert encode.unread([]) == []


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_damaged_file_is_an_error_that_says_what_to_do(tmp_path: Path, name: str) -> None:
    for one in ("config.json", "model.safetensors", "tokenizer.json"):
        if one == name:
            (tmp_path / one).write_bytes((packaged_folder() / one).read_bytes()[:99])
        else:
            shutil.copy(packaged_folder() / one, tmp_path / one)
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        MiniLM(tmp_path)
