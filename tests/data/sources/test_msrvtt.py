from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fbridge.data.sources import find_layout, msrvtt
from fbridge.errors import ConfigError, DataError
from tests.data.sources.trees import by_key, facts, plant


def _json(videos: list[Any], sentences: list[Any]) -> str:
    said = [dict(zip(("video_id", "caption"), pair, strict=True)) for pair in sentences]
    shown = [dict(zip(("video_id", "split"), pair, strict=True)) for pair in videos]
    return json.dumps({"info": {}, "sentences": said, "videos": shown})


WHOLE = _json(
    [("video0", "train"), ("video1", "validate"), ("video2", "test")],
    [
        ("video2", "c "),
        ("video0", "a"),
        ("video9", "extra"),
        ("video0", "b"),
        ("video1", "gone"),
        ("video8", "nowhere"),
        ("video2", ""),
    ],
)
CLIPS = {"TrainValVideo/video0.mp4": "", "video2.mp4": "", "Test/x/video9.mp4": ""}


def test_all_captions_are_joined_by_id(tmp_path: Path) -> None:
    plant(tmp_path, {"train_val_videodatainfo.json": WHOLE, **CLIPS})
    layout = find_layout(tmp_path)
    assert layout.summary == (
        "msrvtt: train_val_videodatainfo.json, all captions of 'sentences' joined by 'video_id'"
    )
    assert facts(layout) == [
        ("TrainValVideo/video0.mp4", ("a", "b"), ""),
        ("video1.mp4", ("gone",), "missing: there"),
        ("video2.mp4", ("c",), ""),
        ("Test/x/video9.mp4", ("extra",), ""),
    ]
    splits = [entry.split for entry in layout.entries()]
    assert splits == [("train",), ("validate",), ("test",), ()]


def test_the_json_may_be_the_source(tmp_path: Path) -> None:
    plant(tmp_path, {"a/one.json": WHOLE, "a/two.json": WHOLE, "b/video0.mp4": ""})
    with pytest.raises(
        ConfigError, match=r"several lists \(one\.json, two\.json\) of 'video0'; name one"
    ):
        find_layout(tmp_path / "a")
    layout = find_layout(tmp_path / "a/two.json", media_root=tmp_path / "b")
    assert facts(layout)[0] == ("video0.mp4", ("a", "b"), "")


def test_ids_and_links_lead_nowhere_else(tmp_path: Path) -> None:
    text = _json([("../out", "train"), ("/etc/passwd", "x"), ("link", "x"), ("a", "x")], [])
    plant(tmp_path, {"out.mp4": "secret", "s/m.json": text, "s/a.mp4": ""})
    (tmp_path / "s/link.mp4").symlink_to(tmp_path / "out.mp4")
    found = by_key(tmp_path / "s")
    refused = {key: entry.refused.split(" ")[0] for key, entry in found.items()}
    assert refused == {
        "../out.mp4": "leaves",
        "/etc/passwd.mp4": "leaves",
        "link.mp4": "leaves",
        "a.mp4": "",
    }


def test_damaged_items_stop_nothing(tmp_path: Path) -> None:
    whole = {"videos": [{"id": 1}, 7, {"video_id": "a"}], "sentences": [{"video_id": "a"}, None]}
    plant(tmp_path, {"m.json": json.dumps(whole), "a.mp4": ""})
    assert [fact[0] for fact in facts(find_layout(tmp_path))] == [
        "m.json:videos[0]",
        "m.json:videos[1]",
        "a.mp4",
        "m.json:sentences[0]",
        "m.json:sentences[1]",
    ]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ('{"videos": [],\n"sentences": [', r"m\.json:2: is no JSON"),
        ('{"videos": {}, "sentences": []}', "is no MSR-VTT json; it needs the lists"),
        ('["videos"]', "1: is no JSON object in braces"),
        ('{"videos": [], "sentences": []}', "holds no video as msrvtt"),
    ],
)
def test_a_json_that_cannot_be_used(tmp_path: Path, text: str, match: str) -> None:
    plant(tmp_path, {"m.json": text})
    with pytest.raises(DataError, match=match):
        find_layout(tmp_path / "m.json")


def test_notes_beside_videos_are_no_list(tmp_path: Path) -> None:
    plant(tmp_path, {f"{number}.json": WHOLE for number in range(12)} | CLIPS)
    assert find_layout(tmp_path).name == "folder"
    plant(tmp_path / "few", {"a.json": '{"caption": "x"}', "a.mp4": ""})
    assert find_layout(tmp_path / "few").name == "folder"


@pytest.mark.parametrize("chunk", [1, 5, 11, 64])
def test_keys_are_seen_across_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(msrvtt, "_CHUNK", chunk)
    plant(tmp_path, {"m.json": WHOLE, **CLIPS})
    assert find_layout(tmp_path).name == "msrvtt"


def test_both_lists_of_2016_are_read(tmp_path: Path) -> None:
    """train_val_videodatainfo.json and test_videodatainfo.json, as the data set was published."""
    test = _json([("video7010", "test")], [("video7010", "t")])
    plant(tmp_path, {"train_val_videodatainfo.json": WHOLE, "test_videodatainfo.json": test})
    plant(tmp_path, {**CLIPS, "TestVideo/video7010.mp4": ""})
    layout = find_layout(tmp_path)
    assert "test_videodatainfo.json, train_val_videodatainfo.json" in layout.summary
    found = by_key(tmp_path)
    assert found["TestVideo/video7010.mp4"].captions == ("t",)
    assert found["TrainValVideo/video0.mp4"].captions == ("a", "b")
    assert [key for key, entry in found.items() if entry.missing] == ["video1.mp4"]


def test_tables_of_ids_name_the_videos(tmp_path: Path) -> None:
    """MSRVTT_JSFUSION_test.csv, the split 1kA."""
    text = "key,vid_key,video_id,sentence\nret0,msr0,video0,a man\nret1,msr1,video5,gone\n"
    plant(tmp_path, {"MSRVTT_JSFUSION_test.csv": text, "videos/video0.mp4": ""})
    assert facts(find_layout(tmp_path)) == [
        ("videos/video0.mp4", ("a man",), ""),
        ("video5.mp4", ("gone",), "missing: there"),
    ]
    assert [entry.missing for entry in find_layout(tmp_path).entries()] == [False, True]
    plant(tmp_path, {"MSRVTT_data.json": WHOLE})
    layout = find_layout(tmp_path)
    assert layout.name == "msrvtt"
    assert layout.summary.endswith("; not read: MSRVTT_JSFUSION_test.csv")


def test_ids_may_have_a_suffix_or_another_one(tmp_path: Path) -> None:
    """Shreyz-max/Video-Captioning #8: ids end in .avi in one file and not in the other."""
    text = _json(
        [("a.avi", "train"), ("b", "test"), ("c.avi", "test")], [("a.avi", "x"), ("b", "y")]
    )
    plant(tmp_path, {"m.json": text, "v/a.avi": "", "v/b.avi": "", "v/b.mp4": ""})
    assert facts(find_layout(tmp_path)) == [
        ("v/a.avi", ("x",), ""), ("v/b.mp4", ("y",), ""), ("c.avi", (), "missing: there"),
    ]  # fmt: skip
