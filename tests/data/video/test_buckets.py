from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fbridge.data.video.buckets import (
    Bucket,
    Crop,
    aspect_buckets,
    choose_bucket,
    cover,
    cover_size,
    crop_loss,
    parse_buckets,
    upscaled,
)
from fbridge.errors import ConfigError

sides = st.integers(1, 4000)
buckets = st.builds(Bucket, st.integers(8, 1024), st.integers(8, 1024), st.integers(1, 64))


@given(sides, sides, buckets)
def test_the_crop_is_a_centred_box_of_the_buckets_shape(
    width: int, height: int, bucket: Bucket
) -> None:
    crop = cover(width, height, bucket)
    assert 1 <= crop.width <= width
    assert 1 <= crop.height <= height
    assert crop.width == width or crop.height == height
    assert abs(width - crop.width - 2 * crop.left) <= 1
    assert abs(height - crop.height - 2 * crop.top) <= 1
    wide = max(1.0, min(float(width), height * bucket.width / bucket.height))
    high = max(1.0, min(float(height), width * bucket.height / bucket.width))
    assert abs(crop.width - wide) <= 0.5
    assert abs(crop.height - high) <= 0.5
    loss = crop_loss(width, height, bucket)
    assert loss == pytest.approx(1 - crop.width * crop.height / (width * height))
    assert 0 <= loss < 1


@given(sides, sides, buckets)
def test_what_is_resized_covers_the_bucket_and_hardly_more(
    width: int, height: int, bucket: Bucket
) -> None:
    wide, high = cover_size(width, height, bucket)
    assert wide >= bucket.width
    assert high >= bucket.height
    assert wide == bucket.width or high == bucket.height
    scale = max(bucket.width / width, bucket.height / height)
    assert abs(wide - width * scale) <= 0.51
    assert abs(high - height * scale) <= 0.51
    assert upscaled(width, height, bucket) == (scale > 1)


@given(st.lists(buckets, min_size=1, max_size=6), sides, sides, st.integers(0, 70))
def test_the_chosen_bucket_is_the_best_that_fits(
    several: list[Bucket], width: int, height: int, available: int
) -> None:
    chosen = choose_bucket(several, width, height, available)
    fitting = [bucket for bucket in several if bucket.frames <= available]
    assert (chosen is None) == (not fitting)
    if chosen is None:
        return
    assert chosen in fitting
    assert chosen == choose_bucket(reversed(several), width, height, available)

    def misfit(bucket: Bucket) -> float:
        return abs(math.log(bucket.width / bucket.height) - math.log(width / height))

    for other in fitting:
        assert misfit(chosen) <= misfit(other) + 2e-9
        if other[:2] == chosen[:2]:
            assert chosen.frames >= other.frames


@pytest.mark.parametrize(
    ("width", "height", "available", "expected"),
    [
        (1920, 1080, 16, "512x288x16"),
        (1920, 1080, 40, "512x288x33"),
        (1920, 1080, 15, "512x512x8"),
        (400, 225, 16, "256x144x16"),  # no upscaling
        (100, 56, 16, "256x144x16"),  # everything upscales: the least
        (720, 1280, 33, "288x512x33"),
        (640, 640, 8, "512x512x8"),
        (640, 640, 7, None),
    ],
)
def test_which_bucket_a_film_goes_to(
    width: int, height: int, available: int, expected: str | None
) -> None:
    choice = parse_buckets("256x144x16,512x288x16,512x288x33,288x512x33,512x512x8")
    chosen = choose_bucket(choice, width, height, available)
    assert (None if chosen is None else str(chosen)) == expected


def test_crops_of_known_pictures() -> None:
    assert cover(1280, 720, Bucket(256, 256, 16)) == Crop(720, 720, 280, 0)
    assert cover(720, 1280, Bucket(256, 256, 16)) == Crop(720, 720, 0, 280)
    assert cover(640, 360, Bucket(512, 288, 16)) == Crop(640, 360, 0, 0)
    assert crop_loss(1280, 720, Bucket(256, 256, 16)) == pytest.approx(1 - 9 / 16)
    assert not upscaled(256, 256, Bucket(256, 256, 16))
    assert upscaled(255, 1000, Bucket(256, 256, 16))


@given(st.lists(buckets, min_size=1, max_size=5, unique=True))
def test_buckets_are_read_as_they_are_written(several: list[Bucket]) -> None:
    assert parse_buckets(",".join(map(str, several))) == tuple(several)


@pytest.mark.parametrize("text", ["", "256x256", "256x256x0", "256x256x16,", "axbxc", "-1x2x3"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="write WIDTHxHEIGHTxFRAMES"):
        parse_buckets(text)


def test_automatic_buckets_have_the_usual_shapes_at_the_same_area() -> None:
    found = aspect_buckets(512, 512, [16, 33], 16)
    assert {bucket.frames for bucket in found} == {16, 33}
    ratios = [bucket.width / bucket.height for bucket in found if bucket.frames == 16]
    expected = [9 / 16, 2 / 3, 3 / 4, 1, 4 / 3, 3 / 2, 16 / 9]
    assert ratios == pytest.approx(expected, rel=0.05)
    for bucket in found:
        assert bucket.width % 16 == bucket.height % 16 == 0
        assert bucket.width * bucket.height == pytest.approx(512 * 512, rel=0.06)
    small = aspect_buckets(16, 16, [8], 16)
    assert len(set(small)) == len(small)
    assert min(bucket.height for bucket in small) == 16
