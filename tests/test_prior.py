"""Where a bridge starts: still pictures, regressions, the embedded model's motion, and mixes."""

from __future__ import annotations

import pytest
import torch

from fbridge.backbones.space_time import SpaceTimeTransformer
from fbridge.codecs import Codec, View
from fbridge.codecs.motion import MotionCodec
from fbridge.codecs.pixel import PixelCodec
from fbridge.codecs.vae import VAECodec
from fbridge.errors import ConfigError
from fbridge.loaders.prior import MotionPrior, build_prior
from fbridge.loaders.text_encoder import load_text_encoder
from fbridge.prior import MixPrior, NeuralPrior, ReplicatePrior
from fbridge.types import Condition
from tests.bases import tiny_vae


def scene() -> torch.Tensor:
    """(3, 64, 64): a bright disc on a soft background."""
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    disc = ((y - 32) ** 2 + (x - 32) ** 2 < 150).float()
    ground = torch.stack([y / 200, x / 200, 0.3 + 0 * x])
    return ground * (1 - disc) + disc * torch.tensor([0.9, 0.3, 0.1])[:, None, None]


def looked(codec: Codec, prompts: list[str]) -> tuple[torch.Tensor, Condition, View]:
    text, mask = load_text_encoder()(prompts)
    view = codec.view([scene()] * len(prompts), text, mask)
    condition = Condition(text, mask, view.image_latents, prompts=tuple(prompts))
    return codec.still(view, 5).mean, condition, view


@pytest.mark.parametrize("codec", [PixelCodec(64, 64), VAECodec(tiny_vae())])
def test_the_motion_prior_moves_the_picture_as_the_words_say(codec: Codec) -> None:
    still, condition, view = looked(codec, ["zoom in", "the ball moves left"])
    prior = build_prior("motion", None, 0.5, codec)
    guess = prior(still, condition, view)
    assert guess.shape == still.shape
    assert guess.dtype == still.dtype
    assert torch.equal(guess, prior(still, condition, view))
    moved = (guess - still).abs().mean((2, 3, 4))
    assert (moved[:, -1] > 2 * moved[:, 0]).all()
    assert (guess[0] - guess[1]).abs().max() > 1e-3
    assert isinstance(prior, MotionPrior)
    again = prior.from_pictures(list(view.scenes), condition, 5)
    assert torch.equal(again, guess)
    assert not guess.requires_grad


def test_the_motion_prior_starts_at_the_picture_and_goes_the_right_way() -> None:
    codec = PixelCodec(64, 64)
    still, condition, view = looked(codec, ["the ball moves left"])
    guess = build_prior("motion", None, 0.5, codec)(still, condition, view)
    assert (guess[0, 0] - still[0, 0]).abs().mean() < 0.05
    columns = torch.arange(64.0)
    red = (guess[0, :, 0] - guess[0, :, 2]).clamp_min(0).sum(1)  # (F, W)
    place = (red * columns).sum(1) / red.sum(1)
    assert place[-1] < place[0] - 1


def test_a_motion_prior_needs_the_words_it_knows_and_the_pictures() -> None:
    codec = PixelCodec(64, 64)
    still, condition, view = looked(codec, ["zoom in"])
    prior = build_prior("motion", None, 0.5, codec)
    with pytest.raises(ValueError, match="view"):
        prior(still, condition, None)
    silent = condition.with_prompt(condition.prompt_embeds, condition.prompt_mask)
    with pytest.raises(ConfigError, match="as text"):
        prior(still, silent, view)
    with pytest.raises(ConfigError, match="motions already"):
        build_prior("motion", None, 0.5, MotionCodec(widths=(8, 8, 16, 16), side=64))


def test_a_mix_is_between_the_picture_and_the_guess() -> None:
    codec = PixelCodec(64, 64)
    network = SpaceTimeTransformer(3, 64, 64, 3, patch=16, dim=32, depth=1, heads=2, timed=False)
    torch.nn.init.normal_(network.head.weight)
    still, condition, view = looked(codec, ["zoom in"])
    guess = NeuralPrior(network)(still, condition, view)
    for share in (0.0, 0.25, 1.0):
        mix = build_prior("mix", network, share, codec)(still, condition, view)
        torch.testing.assert_close(mix, share * guess + (1 - share) * still)
    assert (guess - still).abs().max() > 0.1
    without = build_prior("mix", None, 0.5, codec)
    assert isinstance(without, MixPrior)
    assert isinstance(without.guess, MotionPrior)


def test_kinds_by_name() -> None:
    codec = PixelCodec(64, 64)
    assert build_prior("repeat", None, 0.5, codec) == ReplicatePrior()
    with pytest.raises(ConfigError, match="train-prior"):
        build_prior("neural", None, 0.5, codec)
    with pytest.raises(ConfigError, match=r"'optical'.*repeat, neural, motion, mix"):
        build_prior("optical", None, 0.5, codec)
