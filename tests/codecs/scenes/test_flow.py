import math
from typing import Any

import pytest
import torch
from torch import Tensor

from fbridge.codecs.scenes.currents import STYLES, smooth_noise
from fbridge.codecs.scenes.flow import draw_flow, flow_video, plan_flow

cv2: Any = pytest.importorskip("cv2")

SIZE = (96, 128)


def textured(seed: int = 0) -> Tensor:
    """(3, 96, 128) grain of a few pixels."""
    generator = torch.Generator().manual_seed(seed)
    planes = [smooth_noise(SIZE, 24, generator) for _ in range(3)]
    return (0.5 + 0.12 * torch.stack(planes)).clamp(0, 1)


def lower_part() -> Tensor:
    region = torch.zeros(SIZE)
    region[40:] = 1
    region[38:40] = 0.5
    return region


def shift_of(before: Tensor, after: Tensor) -> tuple[float, float]:
    """Median displacement (x, y) in pixels between two pictures, by dense optical flow."""
    grey = [(255 * part.mean(0)).byte().numpy() for part in (before, after)]
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    found = torch.from_numpy(search.calc(*grey, None))
    x, y = found[10:-10, 10:-10].flatten(0, 1).median(0).values.tolist()
    return x, y


@pytest.mark.parametrize("kind", STYLES)
def test_what_is_still_is_the_picture_bit_for_bit(kind: str) -> None:
    picture, region = textured(), lower_part()
    video = flow_video(picture, region, kind, range(4), 12, seed=3)
    assert torch.equal(video[0], picture)
    assert torch.equal(video[:, :, :38], picture[:, :38].expand(4, -1, -1, -1))
    assert float((video[3, :, 45:] - picture[:, 45:]).abs().mean()) > 0.01
    assert 0 <= float(video.amin()) <= float(video.amax()) <= 1


@pytest.mark.parametrize("kind", STYLES)
def test_contrast_is_kept(kind: str) -> None:
    picture, region = textured(), lower_part()
    flow = plan_flow(picture, region, kind, 16, seed=1)
    inside = torch.cat([draw_flow(flow, range(at, at + 1)) for at in (2, 5, 8, 11)])[:, :, 44:]
    spread = inside.std((1, 2, 3)) / picture[:, 44:].std()
    assert 0.85 < float(spread.amin()) <= float(spread.amax()) < 1.15


@pytest.mark.parametrize("kind", [kind for kind, style in STYLES.items() if style.loops])
def test_the_end_meets_the_start(kind: str) -> None:
    picture = textured()
    video = flow_video(picture, torch.ones(SIZE), kind, range(40, 41), 40, seed=2)
    assert torch.allclose(video[0], picture, atol=2e-3)


def test_clouds_drift_by_the_travel_of_their_style() -> None:
    picture = textured()
    video = flow_video(picture, torch.ones(SIZE), "clouds", range(39, 40), 40, seed=0)
    x, y = shift_of(picture[:, :40], video[0, :, :40])
    travel = STYLES["clouds"].travel * math.sqrt(SIZE[0] * SIZE[1]) / 2
    assert 0.5 * travel < abs(x) < 1.1 * travel
    assert abs(y) < 0.3 * travel


@pytest.mark.parametrize("noun", ["waterfall", "river"])
def test_running_water_goes_down(noun: str) -> None:
    video = flow_video(textured(), torch.ones(SIZE), "water", range(4), 40, seed=0, noun=noun)
    x, y = shift_of(video[0, :, 40:], video[3, :, 40:])
    assert y > 0.3
    assert y > abs(x)


@pytest.mark.parametrize(("way", "sign"), [("left", -1), ("right", 1)])
def test_clouds_drift_to_the_side_that_is_named(way: str, sign: int) -> None:
    picture, everywhere = textured(), torch.ones(SIZE)
    for seed in range(2):
        flow = plan_flow(picture, everywhere, "clouds", 24, seed, way=way)
        x, _ = shift_of(picture, draw_flow(flow, range(12, 13))[0])
        assert sign * x > 1


def test_speed_scales_the_way() -> None:
    ways = []
    for speed in (1.0, 2.0):
        video = flow_video(
            textured(), torch.ones(SIZE), "clouds", range(19, 20), 40, seed=0, speed=speed
        )
        ways.append(abs(shift_of(textured()[:, :40], video[0, :, :40])[0]))
    assert 1.5 < ways[1] / ways[0] < 2.6


def test_parts_of_a_video_are_those_of_the_whole() -> None:
    flow = plan_flow(textured(), lower_part(), "water", 12, seed=5)
    whole = draw_flow(flow, range(12))
    assert torch.equal(whole[7:10], draw_flow(flow, range(7, 10)))
    assert not torch.equal(
        whole, draw_flow(plan_flow(textured(), lower_part(), "water", 12, 6), range(12))
    )


def test_an_empty_region_moves_nothing() -> None:
    picture = textured()
    video = flow_video(picture, torch.zeros(SIZE), "smoke", range(3), 8, seed=0)
    assert torch.equal(video, picture.expand(3, -1, -1, -1))


def test_what_moves_no_region_is_named() -> None:
    with pytest.raises(ValueError, match=r"kind = 'rain'.*water"):
        flow_video(textured(), lower_part(), "rain", range(2), 8, seed=0)
