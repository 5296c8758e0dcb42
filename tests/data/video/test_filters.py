from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from fbridge.data.video.buckets import Bucket
from fbridge.data.video.filters import fingerprint, has_scene_cut, is_still, luma, small

RNG = np.random.default_rng(0)
WALL = np.kron(RNG.integers(0, 256, (12, 80)), np.ones((5, 5)))  # (60, 400) high contrast

Levels = npt.NDArray[np.float64]


def pan(speed: int, frames: int = 16) -> Levels:
    return np.stack([WALL[:, speed * k : speed * k + 60] for k in range(frames)])


@pytest.mark.parametrize("speed", [1, 5, 20])
def test_a_pan_is_neither_still_nor_cut(speed: int) -> None:
    assert not has_scene_cut(pan(speed))
    assert not is_still(pan(speed))


@pytest.mark.parametrize("speed", [0, 1])
@pytest.mark.parametrize("place", [1, 8, 15])
def test_a_cut_is_found_wherever_it_is(place: int, speed: int) -> None:
    scenes = pan(speed)
    scenes[place:] = 255 - scenes[place:]
    assert has_scene_cut(scenes)


def test_a_fade_is_no_cut() -> None:
    assert not has_scene_cut(pan(1) * np.linspace(1, 0, 16)[:, None, None])


def test_noise_is_still_and_a_drift_is_not() -> None:
    still = pan(0)
    assert is_still(still + RNG.normal(0, 0.5, still.shape))
    assert not is_still(still + np.linspace(0, 3, 16)[:, None, None])
    moving = still.copy()
    moving[8, 20:40, 20:40] = 255 - moving[8, 20:40, 20:40]
    assert not is_still(moving), "it moves away and comes back"


def test_fingerprints_see_shapes_and_not_brightness() -> None:
    def apart(one: Levels, other: Levels) -> int:
        return (int(fingerprint(one), 16) ^ int(fingerprint(other), 16)).bit_count()

    clip = pan(2)
    assert apart(clip, clip * 0.8 + 20) == 0
    assert apart(clip, clip + RNG.normal(0, 3, clip.shape)) <= 6
    assert apart(clip, pan(2)[:, :, ::-1]) > 40
    late = clip.copy()
    late[-1] = 255 - late[-1]
    assert 40 < apart(clip, late) <= 64
    assert len(fingerprint(clip[:1])) == 48


def test_small_pictures_keep_the_shape() -> None:
    assert small(Bucket(512, 512, 16)) == Bucket(64, 64, 16)
    assert small(Bucket(32, 32, 8)) == Bucket(32, 32, 8)
    wide = small(Bucket(1280, 720, 8))
    assert wide.width / wide.height == pytest.approx(16 / 9, rel=0.03)
    assert luma(np.full((1, 2, 2, 3), 200, np.uint8)) == pytest.approx(200)
