import pytest
import torch

from fbridge.codecs.scenes.particles import PARTICLES, overlay

FRAMES = torch.full((24, 3, 90, 120), 0.3)
SOURCE = torch.zeros(90, 120)
SOURCE[50:80, 40:80] = 1


@pytest.mark.parametrize("kind", PARTICLES)
def test_it_starts_from_nothing_and_becomes_visible(kind: str) -> None:
    video = overlay(FRAMES, kind, range(24), 24, seed=1, source=SOURCE)
    change = (video - FRAMES).abs().mean((1, 2, 3))
    assert torch.equal(video[0], FRAMES[0])
    assert 0 < float(change[2]) < float(change[16])
    assert 0.0005 < float(change[16]) < 0.2
    assert 0 <= float(video.amin()) <= float(video.amax()) <= 1


@pytest.mark.parametrize("kind", PARTICLES)
def test_the_seed_alone_decides(kind: str) -> None:
    once, again, other = (
        overlay(FRAMES[:3], kind, range(12, 15), 24, seed, SOURCE) for seed in (4, 4, 5)
    )
    whole = overlay(FRAMES, kind, range(24), 24, 4, SOURCE)
    assert torch.equal(once, again)
    assert torch.equal(once, whole[12:15])
    assert not torch.equal(once, other)


def test_steam_rises_from_the_rim_and_leaves_the_cup_alone() -> None:
    video = overlay(FRAMES, "steam", range(24), 24, seed=0, source=SOURCE)
    change = (video - FRAMES).abs().amax(1)
    assert float(change[:, 66:].amax()) == 0
    assert float(change[20, 20:55].amax()) > 0.05
    centre = (change[20].sum(0) * torch.arange(120)).sum() / change[20].sum()
    assert 45 < float(centre) < 75
    heights = [int(torch.nonzero(change[frame].amax(1) > 0.02)[0]) for frame in (4, 10, 18)]
    assert heights == sorted(heights, reverse=True)
    assert heights[0] > heights[2]


@pytest.mark.parametrize("kind", ["rain", "snow"])
def test_what_falls_falls(kind: str) -> None:
    video = overlay(FRAMES, kind, range(24), 24, seed=0)[:, 0] - FRAMES[:, 0]
    near = (video[16] > 0.12).float()
    shifted = [float((near[:-way] * video[17, way:]).sum()) for way in range(1, 12)]
    assert max(shifted) > 1.1 * float((near * video[17]).sum())


def test_what_is_not_drawn_over_is_named() -> None:
    with pytest.raises(ValueError, match=r"kind = 'water'.*rain"):
        overlay(FRAMES, "water", range(24), 24, seed=0)
