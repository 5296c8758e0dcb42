"""The frames are the same ones; their pixels differ by what these tests say."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from fbridge.data.video.buckets import Bucket, parse_buckets
from fbridge.data.video.clip import decode_clip
from fbridge.data.video.clip_sampling import ClipSampling
from fbridge.data.video.survey import survey_file
from fbridge.errors import DataError, DependencyError
from tests.data.video.conftest import Shelf
from tests.data.video.films import (
    KINDS,
    Film,
    cut_short,
    encode,
    film,
    flip,
    read_numbers,
    rotate,
    window,
)

CUTTING = ClipSampling(parse_buckets("96x96x5"), stride=3, mode="uniform:3", decoder="decord")
REFUSED = {
    "film.ts": "format that decord misreads",
    "film.gif": "format that decord misreads",
    "edited.mp4": "has 35 frames, but 40 for decord",
}


@pytest.fixture
def _decord() -> None:
    pytest.importorskip("decord")


def both(source: Film, cutting: ClipSampling = CUTTING) -> tuple[list[list[int]], float]:
    """The numbers on the frames that decord gives, and the mean difference to PyAV's pixels."""
    survey = survey_file(source, cutting)
    assert survey.bucket is not None
    numbers, differences = [], []
    for cut in survey.cuts:
        theirs, ours = (
            decode_clip(source, cut.pts, survey.bucket, decoder).frames
            for decoder in ("decord", "pyav")
        )
        numbers.append(read_numbers(theirs, survey.width, survey.height))
        assert numbers[-1] == read_numbers(ours, survey.width, survey.height)
        differences.append(np.abs(theirs.astype(int) - ours).mean())
    return numbers, float(np.max(differences))


@pytest.mark.usefixtures("_decord")
@pytest.mark.parametrize("name", sorted(KINDS.keys() - REFUSED.keys()))
def test_the_same_frames_as_pyav(shelf: Shelf, name: str) -> None:
    assert survey_file(shelf(name), CUTTING).decoder.startswith("decord 0.")
    numbers, difference = both(shelf(name))
    taken = list(range(0, 40, 3))
    assert numbers == [taken[start : start + 5] for start in (0, 4, 9)]
    assert difference < 2.5


@pytest.mark.usefixtures("_decord")
@pytest.mark.parametrize("degrees", [90, 180])
def test_decord_turns_pictures_too(tmp_path: Path, degrees: int) -> None:
    stored = np.ascontiguousarray(np.rot90(film(20), -degrees // 90, (1, 2)))
    source = rotate(encode(tmp_path / "turned.mp4", stored), degrees)
    numbers, difference = both(source)
    assert numbers[0] == [0, 3, 6, 9, 12]
    assert difference < 2.5


@pytest.mark.usefixtures("_decord")
def test_a_window_into_an_archive(shelf: Shelf) -> None:
    numbers, _ = both(window(shelf("plain.mp4")))
    assert numbers[0] == [0, 3, 6, 9, 12]


@pytest.mark.usefixtures("_decord")
@pytest.mark.parametrize("name", REFUSED)
def test_what_decord_would_number_wrongly_is_refused(shelf: Shelf, name: str) -> None:
    survey = survey_file(shelf(name), CUTTING)
    with pytest.raises(DataError, match=f"{REFUSED[name]}.*; use the decoder pyav"):
        decode_clip(shelf(name), survey.cuts[0].pts, Bucket(96, 96, 5), "decord")


@pytest.mark.usefixtures("_decord")
def test_an_untagged_720p_film_is_off_by_its_colours(tmp_path: Path) -> None:
    """Players take it for BT.709; decord takes everything untagged for BT.601."""
    source = encode(tmp_path / "large.mp4", film(16, 176, 720))
    cutting = ClipSampling(parse_buckets("88x360x5"), decoder="decord")
    numbers, difference = both(source, cutting)
    assert numbers == [list(range(5))]
    assert 2.5 < difference < 12


@pytest.mark.usefixtures("_decord")
def test_a_file_that_changed_since_the_survey(shelf: Shelf) -> None:
    survey = survey_file(shelf("film.mkv"), CUTTING)
    shorter = cut_short(shelf("film.mkv"), 0.5)
    with pytest.raises(DataError):
        decode_clip(shorter, survey.cuts[-1].pts, Bucket(96, 96, 5), "decord")


@pytest.mark.usefixtures("_decord")
def test_damage_is_concealed_by_decord_and_found_by_pyav(shelf: Shelf) -> None:
    source = flip(shelf("film.mkv"))
    pts = tuple(
        cut.pts[0]
        for cut in survey_file(source, ClipSampling(parse_buckets("96x96x1"), mode="slide:1")).cuts
    )
    with pytest.raises(DataError, match="is damaged"):
        decode_clip(source, pts, Bucket(96, 96, 40), "pyav")
    assert decode_clip(source, pts, Bucket(96, 96, 40), "decord").frames.shape[0] == 40


def test_decord_is_not_installed(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "decord", None)
    with pytest.raises(DependencyError, match="use the decoder pyav"):
        survey_file(shelf("plain.mp4"), CUTTING)
    with pytest.raises(DependencyError, match="use the decoder pyav"):
        decode_clip(shelf("plain.mp4"), (0,), Bucket(96, 96, 1), "decord")
