from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fbridge.data.latents.format import digest, dump
from fbridge.errors import DependencyError
from fbridge.prepare import stored_plan
from fbridge.prepare.plan import PlannedClip, PlannedVideo, caption_hash
from fbridge.prepare.stored_plan import StoredPlan
from fbridge.prepare.summary import LeftOut, Tally


def clip(identity: str, *captions: str) -> PlannedClip:
    place = ("/videos/a.mp4", 3, None, "")
    hashes = tuple(map(caption_hash, captions))
    row = ('{"pts":[0,1],', ',"times":[0.0,0.5]}')
    name = digest(identity)
    return PlannedClip(name, (64, 48, 2), place, captions, hashes, "s", ("train",), None, *row)


VIDEOS = [
    PlannedVideo(b"{}", ("HDR",), (320, 240), (clip("a", "x"), clip("b", "y", "x")), ()),
    PlannedVideo(None, (), (0, 0), (), (LeftOut("k", "is broken", True, 1.5),)),
    PlannedVideo(b"{}", (), (64, 48), (clip("a", ""), clip("c")), ()),
    PlannedVideo(b"{}", (), (64, 48), (clip("d", "y"),), ()),
]


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(stored_plan, "VIDEOS_AT_ONCE", 2)
    with StoredPlan(iter(VIDEOS), tmp_path, shard_rows=2) as held:
        yield held


def test_walks_under_way_together_give_the_plan(plan: StoredPlan) -> None:
    assert list(zip(plan.walk(), plan.walk(), strict=True)) == [(item, item) for item in VIDEOS]


def test_units_hold_each_clip_once(plan: StoredPlan) -> None:
    tally = Tally()
    units = list(plan.units((digest("c"),), tally))
    assert [[item.id for item in unit.clips] for unit in units] == [
        [digest("a"), digest("b")],
        [digest("d")],
    ]
    assert (tally.files, tally.clips, tally.new, tally.rejected) == (4, 5, 3, 1)
    assert tally.notes == {"HDR": 1}


def test_captions_come_once_the_empty_one_first(plan: StoredPlan) -> None:
    assert list(plan.captions(())) == [["", "x", "y"]]
    assert list(plan.captions((caption_hash("x"),))) == [["", "y"]]


def test_a_clip_knows_its_media_and_its_row() -> None:
    one = clip("a")
    assert (one.media.path, one.media.offset, one.media.size) == (Path("/videos/a.mp4"), 3, None)
    assert one.pts == (0, 1)
    place = {"row": 7, "sha256": "ab", "shard": "shards/aa/b.safetensors"}
    line = one.manifest_row(place["row"], place["sha256"], place["shard"])  # type: ignore[arg-type]
    assert line == dump({"pts": [0, 1], "times": [0.0, 0.5], **place})


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(DependencyError, match="larger than this system allows"):
            StoredPlan(iter(VIDEOS), tmp_path, shard_rows=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())
