"""Videos that are odd: counted in the plan, never the end of a run, and never stale latents."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fbridge.data.sources import find_layout
from fbridge.data.video.survey import survey_file
from fbridge.prepare.journal import Journal, Lookup
from fbridge.prepare.plan import Planner
from fbridge.prepare.run import Finished, Planned
from fbridge.prepare.scan import cutting_digest
from fbridge.prepare.summary import Tally
from tests.data.video.films import copy_packets, encode, film, orient
from tests.prepare.sets import Order, run


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A mirrored video, one with two tracks, and one that cannot become RGB."""
    (tmp_path / "made").mkdir()
    (tmp_path / "odd").mkdir()
    plain = encode(tmp_path / "made/plain.mp4", film(6, 64, 64))
    little = encode(tmp_path / "made/little.mp4", film(6, 32, 32))
    orient(plain, -1, 0, 0, 1).path.rename(tmp_path / "odd/mirrored.mp4")
    copy_packets([little, plain], tmp_path / "odd/two.mkv", default=(1,))
    options = {"x264-params": "colormatrix=YCgCo"}
    encode(tmp_path / "odd/ycgco.mp4", film(6, 64, 64), options=options)
    return tmp_path / "odd"


def test_a_run_over_odd_videos(order: Order, odd: Path) -> None:
    """The file that cannot be converted is rejected with its reason; the others are noted."""
    options = order(source=odd, max_bad=1.0)
    events = run(options)
    [tally] = [event.tally for event in events if isinstance(event, Planned)]
    assert tally.notes == {
        "several video tracks": 1,
        "track other than the first": 1,
        "shown mirrored": 1,
    }
    assert [out.key for out in tally.examples] == ["ycgco.mp4"]
    assert "has the colour matrix YCgCo" in tally.examples[0].reason
    index = events[-1].index if isinstance(events[-1], Finished) else None
    assert index is not None
    path = options.out / index["files"]["manifest"]["path"]
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert {row["key"]: row["track"] for row in rows} == {"mirrored.mp4": 0, "two.mkv": 1}


def test_latents_of_another_reading_are_not_reused(order: Order, odd: Path, tmp_path: Path) -> None:
    options = order(source=odd)
    layout = find_layout(odd)
    [media] = [entry.media for entry in layout.entries() if entry.key == "mirrored.mp4"]
    assert media is not None
    survey = survey_file(media, options.cutting)
    assert survey.reading == ("shown mirrored",)
    ids: set[str] = set()
    for found in (survey, replace(survey, reading=()), replace(survey, notes=())):
        record = {"cutting": cutting_digest(options), "found": found.to_json()}
        journal = Journal(tmp_path / f"{len(ids)}.jsonl")
        journal.append({"key": key, **record} for key in ("mirrored.mp4", "two.mkv", "ycgco.mp4"))
        surveys = Lookup(lambda record: record["key"])
        surveys.read(journal.path)
        planner = Planner(options, layout, surveys, recipe="", reads_text=False)
        ids |= {clip.id for item in planner.walk() for clip in item.clips}
    assert len(ids) == 2


def test_notes_are_counted_by_kind() -> None:
    tally = Tally()
    tally.add((), ["HDR (PQ) without tone mapping", "several video tracks: 2"])
    tally.add((), ["several video tracks: 5"])
    assert tally.notes == {"HDR (PQ) without tone mapping": 1, "several video tracks": 2}
