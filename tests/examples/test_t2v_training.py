"""The parts of the small text-to-video model's recipe."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from examples.t2v.muon import MuonAndAdamW, orthogonal
from examples.t2v.scene_clips import frames_and_things
from examples.t2v.train_t2v import Told, make_transformer, true_facts
from examples.t2v.train_vae import KEPT, ClipLoss, Scenes, make_certain
from examples.t2v.wan_vae import decode, encode, make_vae
from fbridge.data.scenes import draw_scene
from fbridge.data.shapes import COLOURS


@torch.no_grad()
def test_whole_clips_are_coded_as_diffusers_codes_chunks() -> None:
    torch.manual_seed(0)
    vae = make_vae().eval()
    for frames in (1, 5, 9):
        clip = torch.rand(1, 3, frames, 32, 32) * 2 - 1
        mean, spread = encode(vae, clip)
        told = vae.encode(clip).latent_dist
        torch.testing.assert_close(mean, told.mean, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(spread.clamp(-30, 20), told.logvar, atol=1e-5, rtol=1e-4)
        shown = decode(vae, mean).clamp(-1, 1)
        torch.testing.assert_close(shown, vae.decode(mean).sample, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_sample_of_the_finished_autoencoder_is_its_mean() -> None:
    torch.manual_seed(0)
    vae = make_vae().eval()
    clip = torch.rand(1, 3, 5, 32, 32) * 2 - 1
    before = vae.encode(clip).latent_dist
    assert float((before.sample() - before.mean).abs().max()) > 0.1
    make_certain(vae)
    after = vae.encode(clip).latent_dist
    torch.testing.assert_close(after.mean, before.mean)
    torch.testing.assert_close(after.sample(), before.mean, atol=1e-5, rtol=0)


def scenes() -> Scenes:
    """Twelve scenes of two things, drawn in this process alone."""
    drawn = [frames_and_things(draw_scene(0, number, things=2)) for number in range(12)]
    frames, things, middles = zip(*drawn, strict=True)
    return Scenes(
        torch.from_numpy(np.stack(frames)),
        torch.from_numpy(np.stack(things)),
        torch.tensor(middles),
    )


def test_squares_show_things_and_both_of_them() -> None:
    held, draw = scenes(), torch.Generator().manual_seed(0)
    for _ in range(4):
        frames, things = held.squares(torch.arange(12), draw)
        assert frames.shape == (12, 3, 17, 32, 32)
        assert bool(things.flatten(1).any(1).all())
    apart = [  # a square around the one, and one around the other
        held.squares(torch.tensor([0]), torch.Generator().manual_seed(seed))[0] for seed in range(8)
    ]
    assert len({tuple(square.float().mean((0, 2, 3, 4)).tolist()) for square in apart}) > 2


def test_latents_are_drawn_to_those_before_where_outlines_are_gone_on_with() -> None:
    torch.manual_seed(0)
    vae, before = make_vae().eval(), make_vae().eval()
    before.load_state_dict(vae.state_dict())
    loss = ClipLoss(scenes(), 10, batch=1, bf16=False, before=before)
    with torch.no_grad():
        same = float(loss(vae, 2))
        before.quant_conv.bias[:16] += 2  # all known latents lie 2 apart
        assert float(loss(vae, 2)) - same == pytest.approx(4 * KEPT, rel=1e-3)


def test_errors_near_things_count_more_where_outlines_are_gone_on_with() -> None:
    """Of a decoder that shows grey; what lies near things is not."""
    torch.manual_seed(0)
    vae, held = make_vae().eval(), scenes()
    with torch.no_grad():
        vae.decoder.conv_out.weight.zero_()
        vae.decoder.conv_out.bias.zero_()
        light = Scenes(torch.where(held.things[:, None], 255, 128).expand_as(held.frames).byte(),
                       held.things, held.middles)  # fmt: skip
        far, near = (
            float(ClipLoss(light, 10, batch=4, bf16=False, before=before)(vae, 8))
            for before in (None, vae)
        )
    assert near > 1.5 * far


def test_muon_makes_updates_orthogonal() -> None:
    torch.manual_seed(0)
    for shape in ((6, 6), (4, 9), (9, 4)):
        made = orthogonal(torch.randn(3, *shape))
        values = torch.linalg.svdvals(made)
        assert float(values.min()) > 0.6
        assert float(values.max()) < 1.3


def test_the_optimiser_fits_a_line_and_resumes() -> None:
    torch.manual_seed(0)
    given = torch.randn(64, 5)
    wanted = given @ torch.randn(5, 3) + 1

    def fitted(steps: int, held: dict[str, object] | None = None) -> tuple[nn.Linear, MuonAndAdamW]:
        torch.manual_seed(1)
        layer = nn.Linear(5, 3)
        weight, bias = layer.parameters()
        optimizer = MuonAndAdamW([weight], [bias], lr=0.05, weight_decay=0.0)
        if held is not None:
            layer.load_state_dict(held["layer"])  # type: ignore[arg-type]
            optimizer.load_state_dict(held["optimizer"])  # type: ignore[arg-type]
        for _ in range(steps):
            optimizer.zero_grad()
            (layer(given) - wanted).square().mean().backward()
            optimizer.step()
        return layer, optimizer

    straight, _ = fitted(200)
    assert float((straight(given) - wanted).square().mean().detach()) < 0.05
    layer, optimizer = fitted(120)
    held = {"layer": layer.state_dict(), "optimizer": optimizer.state_dict()}
    again, _ = fitted(80, held)  # type: ignore[arg-type]
    torch.testing.assert_close(again.weight, straight.weight)


def test_facts_say_where_the_colours_are() -> None:
    scene = draw_scene(0, 0, things=1, shape="square", colour="blue", verb="left")
    facts = torch.from_numpy(true_facts(scene)).float()
    assert facts.shape == (5 * 64, 27)
    blue = facts[:, list(COLOURS).index("blue")].view(5, 8, 8)
    columns = torch.arange(8.0)
    middles = (blue.sum(1) * columns).sum(1) / blue.sum((1, 2))
    assert bool((middles.diff() < 0).all())
    assert int((facts[:, : len(COLOURS)].sum(0) > 0).sum()) == 1


def test_what_is_told_trains_the_blocks_below() -> None:
    torch.manual_seed(0)
    model = Told(make_transformer())
    velocity, facts = model(torch.randn(2, 16, 1, 8, 8), torch.rand(2), torch.randn(2, 32, 384))
    assert velocity.shape == (2, 16, 1, 8, 8)
    assert facts.shape == (2, 64, 27)
    facts.sum().backward()
    blocks = model.network.blocks
    assert blocks[0].attn1.to_q.weight.grad is not None
    assert blocks[-1].attn1.to_q.weight.grad is None
