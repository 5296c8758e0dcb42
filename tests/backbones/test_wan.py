"""Prompts of Wan's networks: padded to the length that their text encoder's were in training."""

from __future__ import annotations

import pytest
import torch
from diffusers import WanTransformer3DModel
from torch.nn import functional as F

from fbridge.backbones.wan import WanBackbone, prompt_tokens
from fbridge.errors import ConfigError
from fbridge.interop.stock import fbridge_networks
from fbridge.types import Condition


@pytest.mark.parametrize(("width", "length"), [(16, 512), (384, 32)])
@torch.no_grad()
def test_prompts_have_the_length_of_training(width: int, length: int) -> None:
    torch.manual_seed(0)
    network = WanTransformer3DModel(
        num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=4,
        text_dim=width, freq_dim=8, ffn_dim=16, num_layers=1,
    ).eval()  # fmt: skip
    assert prompt_tokens(network) == length
    video, words, time = torch.randn(1, 4, 3, 4, 4), torch.randn(1, 5, width), torch.tensor([300.0])
    mask = torch.ones(1, 5, dtype=torch.bool)
    wanted = network(video, time, F.pad(words, (0, 0, 0, length - 5))).sample
    picture = torch.zeros(1, 4, 4, 4)
    own = WanBackbone(network).predict(video, time, Condition(words, mask, picture))
    torch.testing.assert_close(own, wanted)
    prompt = fbridge_networks.Prompt(words, mask, None)
    stock = fbridge_networks._wan(network, video.transpose(1, 2), time, prompt)
    torch.testing.assert_close(stock.transpose(1, 2), wanted)


def test_a_video_beyond_the_positions_is_refused() -> None:
    network = WanTransformer3DModel(
        num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=4,
        text_dim=16, freq_dim=8, ffn_dim=16, num_layers=1, rope_max_seq_len=4,
    ).eval()  # fmt: skip
    backbone = WanBackbone(network)
    condition = Condition(
        torch.randn(1, 5, 16), torch.ones(1, 5, dtype=torch.bool), torch.zeros(1, 4, 8, 8)
    )
    for frames, height, width in ((4, 8, 8), (5, 8, 8), (4, 10, 8), (4, 8, 10)):
        latents = torch.randn(1, frames, 4, height, width)
        if (frames, height, width) == (4, 8, 8):
            made = backbone(latents, torch.tensor([300.0]), condition, latents)
            assert made.shape == latents.shape
            continue
        with pytest.raises(ConfigError, match=f"{frames} latent frames of {width}x{height} are no"):
            backbone(latents, torch.tensor([300.0]), condition, latents)
