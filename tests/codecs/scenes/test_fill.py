"""What is filled in behind objects and beyond the edges."""

from __future__ import annotations

import torch

from fbridge.codecs.scenes.fill import complete, fill_behind

HEIGHT, WIDTH = 84, 120


def hole() -> torch.Tensor:
    out = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    out[30:60, 45:80] = True
    return out


def test_what_is_known_stays_bit_for_bit() -> None:
    picture = torch.rand(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    filled = complete(picture, hole())
    assert torch.equal(filled[:, ~hole()], picture[:, ~hole()])
    assert torch.equal(filled, complete(picture, hole()))
    assert torch.equal(complete(picture, hole() & False), picture)


def test_texture_goes_on() -> None:
    coarse = torch.rand(1, 3, 28, 40, generator=torch.Generator().manual_seed(0))
    picture = torch.nn.functional.interpolate(coarse, (HEIGHT, WIDTH), mode="bicubic")[0].clamp(
        0, 1
    )
    filled = complete(picture, hole())
    spread = filled[:, hole()].std(1) / picture[:, hole()].std(1)
    assert (spread > 0.75).all()
    assert (spread < 1.3).all()


def test_an_edge_goes_on() -> None:
    picture = torch.full((3, HEIGHT, WIDTH), 0.8)
    picture[:, 44:] = 0.2
    error = (complete(picture, hole()) - picture).abs()
    assert error.mean() < 0.005
    assert (error > 0.3).float().mean() < 0.01


def test_smooth_colours_stay_smooth() -> None:
    ramp = torch.linspace(0.2, 0.8, HEIGHT)[None, :, None].expand(3, -1, WIDTH).clone()
    filled = complete(ramp, hole())
    assert (filled - ramp).abs().max() < 0.05
    assert filled.diff(dim=2).abs().max() < 0.02


def test_the_objects_own_colours_are_not_used() -> None:
    picture = torch.full((3, HEIGHT, WIDTH), 0.3)
    picture[:, hole()] = 1.0
    assert torch.allclose(fill_behind(picture, hole().float()), torch.tensor(0.3), atol=1e-4)


def test_almost_nothing_known_gives_smooth_colour() -> None:
    picture = torch.full((3, HEIGHT, WIDTH), 0.6)
    all_but_a_corner = torch.ones(HEIGHT, WIDTH, dtype=torch.bool)
    all_but_a_corner[:4, :4] = False
    assert torch.allclose(complete(picture, all_but_a_corner), torch.tensor(0.6), atol=1e-3)
    assert complete(picture, torch.ones_like(all_but_a_corner)).isfinite().all()


def beside_a_ball(noise: float = 0.0) -> torch.Tensor:
    """A ramp with a dark ball right of the hole, of which the hole's surroundings show nothing."""
    draw = torch.Generator().manual_seed(0)
    ramp = torch.linspace(0.5, 0.8, HEIGHT)[None, :, None].expand(3, -1, WIDTH).clone()
    y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    ramp[:, (y - 45) ** 2 + (x - 98) ** 2 < 14**2] = torch.tensor([[0.8], [0.1], [0.1]])
    return ramp + noise * torch.randn(ramp.shape, generator=draw)


def test_what_stands_apart_before_a_plain_ground_is_not_copied() -> None:
    picture = beside_a_ball()
    ramp = torch.linspace(0.5, 0.8, HEIGHT)[None, :, None].expand(3, -1, WIDTH)
    filled = complete(picture, hole())
    assert (filled - ramp)[:, hole()].abs().max() < 0.05


def test_others_of_its_kind_are_not_copied_into_the_hole_of_a_thing() -> None:
    """A rim of the thing that its mask missed would go on as the thing beside it does."""
    picture = beside_a_ball(noise=0.05).clamp(0, 1)
    picture[:, 36:56, 80:84] = torch.tensor([0.8, 0.1, 0.1])[:, None, None]
    y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    alike = ((y - 45) ** 2 + (x - 98) ** 2 < 16**2).float()

    def red(filled: torch.Tensor) -> float:
        inside = filled[:, hole()]
        return float((inside[0] - inside[1] > 0.3).float().mean())

    without, known = red(complete(picture, hole())), red(complete(picture, hole(), alike))
    assert without > 0.15
    assert known < 0.05
    nearly_all = torch.ones_like(alike)
    nearly_all[:, :20] = 0
    assert torch.equal(complete(picture, hole(), nearly_all), complete(picture, hole()))


def test_ground_stays_on_its_level() -> None:
    """A sky and a beach of nearly one grey, behind somebody before whom little of them is left."""
    draw = torch.Generator().manual_seed(0)
    picture = torch.full((3, HEIGHT, WIDTH), 0.8)
    picture[:, 50:] = 0.72
    picture = picture + 0.01 * torch.randn(picture.shape, generator=draw)
    person = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    person[12:, 8:-8] = True
    filled = torch.nn.functional.avg_pool2d(complete(picture, person)[None], 5, 1, 2)[0]
    assert float((filled[:, 62:, 8:-8].mean(0) > 0.76).float().mean()) < 0.05
