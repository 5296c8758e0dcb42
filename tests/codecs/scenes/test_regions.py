import pytest
import torch
from torch import Tensor

from fbridge.codecs.scenes.currents import smooth_noise
from fbridge.codecs.scenes.regions import find_region, without_spires

SIZE = (120, 160)
SKY, SEA, LAND, MEADOW = slice(0, 40), slice(40, 80), slice(80, 90), slice(90, 120)


def landscape() -> Tensor:
    """(3, 120, 160) blue sky with clouds over a sea with ripples, brown earth, and a meadow."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.arange(SIZE[0])[:, None].expand(SIZE)
    grain = torch.randn(SIZE, generator=generator)
    picture = torch.tensor([0.45, 0.65, 0.9])[:, None, None].repeat(1, *SIZE)
    clouds = (0.4 * smooth_noise(SIZE, 5, generator)).clamp(0, 1)
    picture[:, SKY] = torch.lerp(picture, torch.ones(()), clouds)[:, SKY]
    ripples = 0.06 * (rows * 1.9 + smooth_noise(SIZE, 6, generator)).sin()
    picture[:, SEA] = (torch.tensor([0.1, 0.32, 0.42])[:, None, None] + ripples)[:, SEA]
    picture[:, LAND] = (torch.tensor([0.35, 0.22, 0.12])[:, None, None] + 0.08 * grain)[:, LAND]
    picture[:, MEADOW] = (torch.tensor([0.2, 0.45, 0.1])[:, None, None] + 0.08 * grain)[:, MEADOW]
    return picture.clamp(0, 1)


def overlap(region: Tensor, rows: slice) -> float:
    """Intersection over union with whole rows."""
    truth = torch.zeros(SIZE)
    truth[rows] = 1
    return float(torch.minimum(region, truth).sum() / torch.maximum(region, truth).sum())


@pytest.mark.parametrize(("kind", "rows"), [("clouds", SKY), ("water", SEA), ("grass", MEADOW)])
def test_each_kind_is_found_where_it_is(kind: str, rows: slice) -> None:
    region = find_region(landscape(), kind)
    assert region.shape == SIZE
    assert overlap(region, rows) > 0.85
    assert 0 <= float(region.amin()) <= float(region.amax()) <= 1


@pytest.mark.parametrize("kind", ["fire", "smoke", "flag", "hair", "rain"])
def test_what_is_not_there_is_not_found(kind: str) -> None:
    assert float(find_region(landscape(), kind).amax()) == 0


@pytest.mark.parametrize(
    ("meadow", "trees"), [((0.6, 0.55, 0.15), False), ((0.16, 0.3, 0.1), True)]
)
def test_trees_behind_a_meadow_are_no_grass(
    meadow: tuple[float, float, float], trees: bool
) -> None:
    """Unless they are of its colour, where no edge tells them apart."""
    grain = torch.randn(SIZE, generator=torch.Generator().manual_seed(1))
    picture = landscape()
    woods = slice(SEA.start, MEADOW.start)
    picture[:, woods] = (torch.tensor([0.1, 0.22, 0.06])[:, None, None] + 0.06 * grain)[:, woods]
    picture[:, MEADOW] = (torch.tensor(meadow)[:, None, None] + 0.06 * grain)[:, MEADOW]
    region = find_region(picture.clamp(0, 1), "grass")
    assert region[95:].mean() > 0.9
    assert (region[45:85].mean() > 0.5) == trees


@pytest.mark.parametrize(
    ("noun", "meadow", "still"),
    [
        ("trees", (0.45, 0.6, 0.15), True), ("leaves", (0.45, 0.6, 0.15), False),
        ("trees", (0.16, 0.3, 0.1), False),
    ],
)  # fmt: skip
def test_a_meadow_does_not_sway_with_the_trees_behind_it(
    noun: str, meadow: tuple[float, float, float], still: bool
) -> None:
    grain = torch.randn(SIZE, generator=torch.Generator().manual_seed(1))
    picture = landscape()
    woods = slice(SEA.start, MEADOW.start)
    picture[:, woods] = (torch.tensor([0.1, 0.22, 0.06])[:, None, None] + 0.06 * grain)[:, woods]
    picture[:, MEADOW] = (torch.tensor(meadow)[:, None, None] + 0.06 * grain)[:, MEADOW]
    region = find_region(picture.clamp(0, 1), "leaves", noun)
    assert region[45:80].mean() > 0.8
    assert (region[95:].mean() < 0.2) == still


def test_other_things_stay_out_of_the_region() -> None:
    boat = torch.zeros(SIZE)
    boat[50:70, 60:100] = 1
    region = find_region(landscape(), "water", "sea", exclude=boat)
    assert float(region[boat > 0].amax()) == 0
    assert float(region[50:70, :50].mean()) > 0.9


@pytest.mark.parametrize("light", [0.2, 0.9])
def test_masts_do_not_go_with_the_clouds(light: float) -> None:
    """What hangs in the sky alone does, such as a bird, and so do clouds that reach the ground."""
    picture, sky = torch.full((3, *SIZE), 0.5), torch.zeros(SIZE)
    sky[:80] = 1
    picture[:, :, :40] = torch.linspace(light, 0.5, 40)  # a cloud
    picture[:, 10:90, 80:82] = light
    picture[:, 10:16, 120:122] = light
    left = without_spires(picture, sky)
    assert float(left[10:80, 80:82].amax()) == 0
    left[10:80, 79:83], left[8:11, 79:83] = 1, 1  # the mast and its rim
    assert torch.equal(left, sky)


def test_water_is_only_where_the_classes_of_shores_are() -> None:
    scene = torch.zeros(9, 12)
    assert not find_region(landscape(), "water", scene=scene).any()
    scene[3:6] = 0.5
    assert overlap(find_region(landscape(), "water", scene=scene), SEA) > 0.8
    scene = scene.roll(3, 0)  # below the sea, where brown earth and a meadow are
    assert float(find_region(landscape(), "water", scene=scene)[:60].sum()) == 0


def test_a_flag_is_where_the_hint_is_and_its_outline_may_move() -> None:
    hint = torch.zeros(SIZE)
    hint[20:60, 50:110] = 1
    region = find_region(landscape(), "flag", "flag", hint)
    assert float(region[24:56, 54:106].amin()) > 0.9
    assert float(region[66:].amax()) == 0
    assert float(region.sum()) > float(hint.sum())


def test_a_hint_chooses_among_what_fits() -> None:
    left = torch.zeros(SIZE)
    left[SEA, :70] = 1
    region = find_region(landscape(), "water", "pond", left)
    assert float(region[45:75, :60].mean()) > 0.9
    assert float(region[:, 90:].amax()) == 0


def test_a_flame_is_found_by_its_colours() -> None:
    picture = torch.full((3, *SIZE), 0.08)
    picture[:, 50:110, 70:90] = torch.tensor([0.98, 0.7, 0.2])[:, None, None]
    region = find_region(picture, "fire", "flame")
    assert float(region[55:105, 73:87].amin()) > 0.9
    assert float(region[:, :50].amax()) == 0
