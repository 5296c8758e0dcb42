"""Frames of latents, and that numbers that are not finite never become frames."""

from __future__ import annotations

import math

import pytest
import torch

from fbridge.codecs import Codec, View
from fbridge.codecs.frames import decode_frames
from fbridge.codecs.pixel import PixelCodec
from fbridge.codecs.vae import VAECodec
from fbridge.errors import CheckpointError
from tests.bases import tiny_vae

VIEW = View(torch.zeros(1), None, ())


def advice() -> str:
    return "use another dtype"


def test_pixels_become_whole_numbers() -> None:
    latents = torch.tensor([-1.0, 0.0, 0.5, 1.0]).view(1, 1, 1, 1, 4).expand(2, 3, 3, 2, 4)
    frames = decode_frames(PixelCodec(2, 4), latents, VIEW, remedy=advice)
    assert [video.shape for video in frames] == [(3, 2, 4, 3)] * 2
    assert frames[1][0, 0, :, 0].tolist() == [0, 128, 191, 255]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("codec", [PixelCodec(16, 16), VAECodec(tiny_vae())])
def test_latents_are_checked_by_video(codec: Codec, bad: float) -> None:
    channels, side = (3, 16) if isinstance(codec, PixelCodec) else (4, 2)
    latents = torch.zeros(3, 2, channels, side, side)
    assert len(decode_frames(codec, latents, VIEW, remedy=advice)) == 3
    latents[1, 0, 0, 0, 0] = latents[2, 1, 0, 0, 1] = bad
    told = "latents of video 2, 3 of this batch hold NaN or infinity; use another dtype"
    with pytest.raises(CheckpointError, match=told):
        decode_frames(codec, latents, VIEW, remedy=advice)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_an_autoencoder_decodes_is_checked_before_it_is_clamped(bad: float) -> None:
    vae = tiny_vae()
    biases = [bias for name, bias in vae.decoder.named_parameters() if name.endswith("bias")]
    biases[-1].data[0] = bad
    with pytest.raises(CheckpointError, match="the decoded frames of video 1 of this batch"):
        decode_frames(VAECodec(vae), torch.zeros(1, 2, 4, 2, 2), VIEW, remedy=advice)
