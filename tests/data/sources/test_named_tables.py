"""Tables with names of their own: the videofolder of Hugging Face, and WebVid."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fbridge.data.sources import find_layout
from fbridge.errors import ConfigError, DataError, DependencyError
from tests.data.sources.trees import entries, facts, plant


def test_videofolder_with_splits(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            "train/metadata.csv": "file_name,text\na.mp4,one\nsub/b.mp4,two\n../../x.mp4,out\n",
            "train/a.mp4": "",
            "train/sub/b.mp4": "",
            "test/metadata.jsonl": '{"file_name": "a.mp4", "prompt": "three"}\n{"file_name": 1}',
            "test/a.mp4": "",
            "other/metadata.csv": "file_name\nz.mp4\n",
        },
    )
    layout = find_layout(tmp_path)
    assert layout.summary == (
        "videofolder: test/metadata.jsonl, train/metadata.csv, video from column 'file_name', "
        "caption from column 'prompt'; or video from column 'file_name', caption from column 'text'"
    )
    assert facts(layout) == [
        ("test/a.mp4", ("three",), ""),
        ("test/metadata.jsonl:2", (), "the path"),
        ("train/a.mp4", ("one",), ""),
        ("train/sub/b.mp4", ("two",), ""),
        ("../../x.mp4", ("out",), "leaves the"),
    ]
    assert [entry.split for entry in layout.entries() if entry.media] == [
        ("test",),
        ("train",),
        ("train",),
    ]


def test_videofolder_wants_one_table_with_file_name(tmp_path: Path) -> None:
    plant(tmp_path, {"metadata.csv": "name\na\n", "a.mp4": ""})
    assert find_layout(tmp_path).name == "folder"
    with pytest.raises(ConfigError, match="no column 'file_name' among 'name'; rename"):
        find_layout(tmp_path, "videofolder")
    plant(tmp_path, {"metadata.jsonl": '{"file_name": "a.mp4"}'})
    with pytest.raises(ConfigError, match=r"metadata\.csv and metadata\.jsonl; keep one of them"):
        find_layout(tmp_path)


def test_parquet_without_pyarrow_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    plant(tmp_path, {"metadata.parquet": b"PAR1"})
    with pytest.raises(DependencyError, match=r"metadata\.parquet: .*pip install pyarrow"):
        find_layout(tmp_path)


def test_parquet_is_read_in_batches(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    plant(tmp_path, {"a.mp4": "", "bad/metadata.parquet": b"nonsense"})
    number = 3000
    texts = [["one", "two"]] * number
    content = {"file_name": ["a.mp4"] * number, "text": texts, "blob": [b"x"] * number}
    parquet.write_table(arrow.table(content), tmp_path / "metadata.parquet")
    found = entries(tmp_path)
    assert len(found) == number
    assert {(entry.key, entry.captions) for entry in found} == {("a.mp4", ("one", "two"))}
    with pytest.raises(DataError, match="is no parquet file"):
        find_layout(tmp_path / "bad")


WEBVID = "videoid,contentUrl,duration,page_dir,name\n"


def test_webvid_finds_its_videos_in_both_places(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            "results_2M_train.csv": WEBVID
            + '1,u,PT1S,000_050,"A ""cat""\nsleeps."\n2,u,PT1S,000_050,dog\n3,u,PT1S,000_050,gone\n'
            + "../../x,u,PT1S,000_050,out\n,u,PT1S,000_050,nameless\n4,u\n",
            "results_2M_val.csv": WEBVID + "9,u,PT1S,7,bird\n",
            "000_050/1.mp4": "",
            "videos/000_050/2.mp4": "",
            "videos/7/9.mp4": "",
        },
    )
    layout = find_layout(tmp_path)
    assert layout.summary == (
        "webvid: results_2M_train.csv, results_2M_val.csv, video from columns 'page_dir' and "
        "'videoid', caption from 'name'"
    )
    assert facts(layout) == [
        ("000_050/1.mp4", ('A "cat"\nsleeps.',), ""),
        ("videos/000_050/2.mp4", ("dog",), ""),
        ("000_050/3.mp4", ("gone",), "missing: there"),
        ("000_050/../../x.mp4", ("out",), "leaves the"),
        ("results_2M_train.csv:7", (), "has no"),
        ("results_2M_train.csv:8", (), "has no"),
        ("videos/7/9.mp4", ("bird",), ""),
    ]
    assert [entry.split for entry in layout.entries()] == [("train",)] * 6 + [("val",)]
    assert [n for n, entry in enumerate(layout.entries()) if entry.missing] == [2]


def test_webvid_may_be_one_table_with_its_media_elsewhere(tmp_path: Path) -> None:
    plant(tmp_path, {"a/results_10M.csv": WEBVID + "1,u,P,p,x\n", "m/videos/p/1.mp4": ""})
    layout = find_layout(tmp_path / "a/results_10M.csv", media_root=tmp_path / "m")
    assert layout.name == "webvid"
    assert facts(layout) == [("videos/p/1.mp4", ("x",), "")]
