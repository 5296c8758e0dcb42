"""Every family's prompts are read as diffusers' own pipeline of it reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch

from fbridge.backbones import adapter
from fbridge.conditioning.prompt_specs import PROMPT_SPECS, PromptSpec, prompt_spec_of
from fbridge.conditioning.text import TextEncoder
from fbridge.loaders.text_encoder import load_text_encoder
from fbridge.pipeline import FrameBridgePipeline
from fbridge.types import Condition
from tests.pipelines import PUBLISHED, publish

PROMPTS = ["a cat jumps over the dog", "the dog"]


def read_by(pipe: Any, prompt: str) -> torch.Tensor:
    """Rows (L, D) that diffusers' pipeline has a network look at."""
    kind = type(pipe).__name__
    with torch.no_grad():
        if kind == "CogVideoXPipeline":
            return pipe.encode_prompt(prompt, do_classifier_free_guidance=False)[0][0]
        if kind == "AnimateDiffPipeline":
            return pipe.encode_prompt(prompt, "cpu", 1, False)[0][0]
        if kind in ("LTXPipeline", "LTXConditionPipeline"):
            rows, mask = pipe.encode_prompt(prompt, do_classifier_free_guidance=False)[:2]
            return rows[0][mask[0].bool()]
        if kind == "LattePipeline":
            return pipe.encode_prompt(
                prompt, do_classifier_free_guidance=False, negative_prompt="", mask_feature=True
            )[0][0]
        if kind == "HunyuanVideoPipeline":
            rows, pooled, mask = pipe.encode_prompt(prompt)
            first = torch.nn.functional.pad(pooled[0], (0, rows.shape[-1] - pooled.shape[-1]))
            return torch.cat([first[None], rows[0][mask[0].bool()]])
        rows = pipe.encode_prompt(
            prompt, do_classifier_free_guidance=False, max_sequence_length=512
        )[0]
        assert rows.shape[1] == 512, "Wan fills up with zeros"
        condition = Condition(rows, torch.ones(rows.shape[:2], dtype=torch.bool), rows)
        assert torch.equal(adapter.pad_prompt(condition, 512), rows)
        return rows[0][: int(rows[0].any(-1).sum())]


@pytest.mark.parametrize("name", PUBLISHED)
def test_words_are_read_as_the_familys_own_pipeline_reads_them(name: str, tmp_path: Path) -> None:
    check_reading(publish(name, tmp_path))


def test_words_are_read_as_the_pipeline_of_newer_ltx_video_reads_them(tmp_path: Path) -> None:
    """LTX-Video 0.9.7 and later are published with it; its encoder does not see the padding."""
    base = diffusers.DiffusionPipeline.from_pretrained(publish("ltx", tmp_path / "ltx"))
    folder = tmp_path / "newer"
    diffusers.LTXConditionPipeline(**base.components).save_pretrained(folder)
    check_reading(folder)


def check_reading(folder: Path) -> None:
    pipe = diffusers.DiffusionPipeline.from_pretrained(folder)
    encode = load_text_encoder(str(folder))
    assert isinstance(encode, TextEncoder)
    assert encode.reading == PROMPT_SPECS[type(pipe).__name__]
    text, mask = encode(PROMPTS)
    ours = FrameBridgePipeline.from_pretrained(folder)
    again, again_mask = ours.encode_prompts(PROMPTS)
    assert torch.equal(text, again)
    assert torch.equal(mask, again_mask)
    for row, real, prompt in zip(text, mask, PROMPTS, strict=True):
        theirs = read_by(pipe, prompt)
        assert int(real.sum()) == len(theirs)
        torch.testing.assert_close(row[real], theirs, rtol=1e-4, atol=1e-5)


def test_a_bridge_keeps_how_its_base_read(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text(json.dumps({"reading": [226, True, True]}))
    assert prompt_spec_of(tmp_path) == PromptSpec(226, padded=True, keep_padding=True)
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "WanPipeline"}))
    assert prompt_spec_of(tmp_path) == PromptSpec(512)
    for text in ("{", "[]", '{"reading": 3}', '{"_class_name": "FluxPipeline"}'):
        (tmp_path / "model_index.json").write_text(text)
        assert prompt_spec_of(tmp_path) is None
    assert prompt_spec_of(tmp_path / "nowhere") is None
