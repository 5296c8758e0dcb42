"""CLIP from a state alone: transformers' own answers, sizes of the published ones, preparation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from transformers import CLIPConfig, CLIPModel

from fbridge.errors import CheckpointError
from fbridge.evaluation.networks import clip as module
from fbridge.evaluation.networks.clip import (
    CLIPNetwork,
    cropped_by_pillow,
    cropped_by_torch,
    padded,
    text_features,
)
from fbridge.evaluation.networks.pictures import CLIP

WORDS = 60


def config(**changes: Any) -> CLIPConfig:
    """A small CLIP."""
    tower = {"hidden_size": 128, "num_attention_heads": 2, "num_hidden_layers": 2}
    text = {**tower, "intermediate_size": 256, "vocab_size": WORDS, "eos_token_id": WORDS - 1}
    vision = {**tower, "intermediate_size": 320, "image_size": 224, "patch_size": 56}
    vision["num_hidden_layers"] = 3
    return CLIPConfig(text_config=text, vision_config=vision, projection_dim=48, **changes)


@pytest.fixture(scope="module")
def theirs() -> Any:
    torch.manual_seed(0)
    model = CLIPModel(config()).eval()
    for name, parameter in model.named_parameters():
        if "norm" not in name and parameter.ndim:
            parameter.data = torch.randn_like(parameter) * 0.1
    return model


@pytest.fixture(scope="module")
def ours(theirs: Any) -> CLIPNetwork:
    return CLIPNetwork.from_state(theirs.state_dict())


def noise(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randint(0, 256, (*shape, 3), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("exact", [True, False])
def test_frames_as_transformers_sees_them(theirs: Any, ours: CLIPNetwork, exact: bool) -> None:
    frames = noise(3, 40, 50)
    prepared = (cropped_by_pillow if exact else cropped_by_torch)(frames)
    with torch.inference_mode():
        expected = theirs(input_ids=torch.tensor([[1, WORDS - 1]]), pixel_values=prepared)
    found = ours.features(frames, exact=exact)
    assert found.shape == (3, 48)
    assert not torch.allclose(found.norm(dim=1), torch.ones(3), atol=0.1)  # not normalised
    torch.testing.assert_close(F.normalize(found, dim=1), expected.image_embeds)


def test_words_as_transformers_reads_them(theirs: Any, ours: CLIPNetwork) -> None:
    numbers = [WORDS - 2, 5, 17, 3, WORDS - 1]
    with torch.inference_mode():
        expected = theirs(
            input_ids=torch.tensor([numbers]), pixel_values=torch.zeros(1, 3, 224, 224)
        )
    found = ours.text(padded(numbers))
    assert found.shape == (1, 48)
    torch.testing.assert_close(F.normalize(found, dim=1), expected.text_embeds)
    assert not torch.allclose(found, ours.text(padded([*numbers[:3], 4, WORDS - 1])), atol=1e-3)


def test_rows_do_not_depend_on_their_neighbours(ours: CLIPNetwork) -> None:
    frames = noise(9, 20, 30)
    together = ours.features(frames, exact=True)
    torch.testing.assert_close(together[8:], ours.features(frames[8:], exact=True))


def test_old_files_carry_positions_that_are_no_weights(theirs: Any) -> None:
    extra = {f"{m}_model.embeddings.position_ids": torch.arange(9) for m in ("text", "vision")}
    CLIPNetwork.from_state(theirs.state_dict() | extra)


def test_another_state_is_refused(theirs: Any) -> None:
    state = theirs.state_dict()
    for name, told in (
        ("visual_projection.weight", "lack 'visual_projection.weight'"),
        ("logit_scale", "do not fit: Missing key.*logit_scale"),
    ):
        with pytest.raises(CheckpointError, match=told):
            CLIPNetwork.from_state({k: v for k, v in state.items() if k != name})


PUBLISHED = {
    "ViT-B/32": (151_277_313, {}, {}, 512),
    "ViT-L/14": (
        427_616_513,
        {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072},
        {
            "hidden_size": 1024, "num_attention_heads": 16, "num_hidden_layers": 24,
            "intermediate_size": 4096, "patch_size": 14,
        },
        768,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_sizes_are_read_from_the_weights(name: str) -> None:
    count, text, vision, across = PUBLISHED[name]
    whole = CLIPConfig(text_config=text, vision_config=vision, projection_dim=across)
    with torch.device("meta"):
        published = CLIPModel(whole)
        found = CLIPModel(CLIPConfig(**module._sizes(published.state_dict())))
    assert sum(parameter.numel() for parameter in published.parameters()) == count
    for tower in ("text_config", "vision_config"):
        mine, real = getattr(found.config, tower), getattr(whole, tower)
        for field in (
            "hidden_size", "num_attention_heads", "num_hidden_layers", "intermediate_size",
            "hidden_act", "layer_norm_eps",
        ):  # fmt: skip
            assert getattr(mine, field) == getattr(real, field), field
    assert found.config.text_config.eos_token_id == 49407
    assert found.config.vision_config.image_size == 224
    shapes = {k: v.shape for k, v in published.state_dict().items()}
    assert {k: v.shape for k, v in found.state_dict().items()} == shapes


def test_pillow_resizes_and_crops_as_the_authors_do() -> None:
    frames = noise(1, 320, 720)
    picture = Image.fromarray(frames[0].numpy()).resize((504, 224), Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(np.asarray(picture)[:, 140:364].copy()).permute(2, 0, 1) / 255
    torch.testing.assert_close(cropped_by_pillow(frames), CLIP.standardised(pixels[None]))


def test_torch_resizes_without_antialiasing() -> None:
    """Reduced by 4, bicubic with a = -3/4 reads four pixels in a row, halfway between two."""
    frames = noise(1, 896, 1792)
    pixels = frames.permute(0, 3, 1, 2).float() / 255
    weights = torch.tensor([-3.0, 19, 19, -3]) / 32
    for axis in (2, 3):
        pixels = torch.tensordot(pixels.unflatten(axis, (-1, 4)), weights, dims=([axis + 1], [0]))
    expected = CLIP.standardised(pixels[..., 112:336])
    torch.testing.assert_close(cropped_by_torch(frames), expected, rtol=0, atol=1e-4)


def test_missing_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FBRIDGE_CACHE", str(tmp_path))
    monkeypatch.delenv("FBRIDGE_CLIP", raising=False)
    monkeypatch.delenv("FBRIDGE_CLIP_MERGES", raising=False)
    text_features.cache_clear()
    module._tokenizer.cache_clear()
    with pytest.raises(CheckpointError, match=r"clip-merges\.txt"):
        text_features("a cat")
