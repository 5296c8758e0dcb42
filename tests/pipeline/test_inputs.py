"""Class names and sizes as people write them."""

from __future__ import annotations

import pytest

from fbridge.errors import ConfigError
from fbridge.pipeline.inputs import class_of, nearest_shape

CLASSES = ["ApplyEyeMakeup", "Baby_Crawling", "Horse Riding", "HorseRace"]


@pytest.mark.parametrize(
    ("prompt", "number"),
    [("apply eye makeup", 0), ("BabyCrawling", 1), ("baby_crawling", 1), (" horseriding ", 2)],
)
def test_case_spaces_and_underscores_do_not_matter(prompt: str, number: int) -> None:
    assert class_of(prompt, CLASSES) == number


def test_near_classes_are_named() -> None:
    with pytest.raises(
        ConfigError, match=r"'horse rides'.*did you mean 'Horse Riding' or 'HorseRace'"
    ):
        class_of("horse rides", CLASSES)
    with pytest.raises(ConfigError, match="it has 4, such as 'ApplyEyeMakeup'"):
        class_of("zzz", CLASSES)


@pytest.mark.parametrize(
    ("picture", "size"),
    [
        ((100, 100), (64, 64)),
        ((1920, 1080), (96, 56)),
        ((1080, 1920), (56, 96)),
        ((128, 32), (96, 56)),
    ],
)
def test_the_nearest_aspect_is_taken(picture: tuple[int, int], size: tuple[int, int]) -> None:
    assert nearest_shape(picture, [[64, 64], [96, 56], [56, 96], [32, 32]]) == size
