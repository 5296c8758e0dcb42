from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from fbridge.data.sources import LAYOUTS, find_layout
from fbridge.errors import ConfigError, DataError
from tests.data.sources.trees import facts, pack, plant

TREES: dict[str, dict[str, str | bytes]] = {
    "folder": {"a.txt": "x"},
    "videofolder": {"metadata.csv": "file_name,text\na.mp4,x\n"},
    "lists": {"videos.txt": "a.mp4\n", "prompts.txt": "x\n"},
    "table": {"clips.csv": "video,text\na.mp4,x\n"},
    "webvid": {"results_2M_val.csv": "videoid,name,page_dir\n1,x,d\n", "d/1.mp4": ""},
    "ucf101": {"trainlist01.txt": "YoYo/v_YoYo_g01_c01.avi 1\n", "YoYo/v_YoYo_g01_c01.avi": ""},
    "msrvtt": {"m.json": '{"videos": [{"video_id": "a"}], "sentences": []}'},
}


def _grow(root: Path, name: str) -> Path:
    if name == "webdataset":
        pack(root / "s.tar", [("a.mp4", b"x"), ("a.txt", b"x")])
        return root
    return plant(root, {"a.mp4": "", **TREES[name]})


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_is_found(tmp_path: Path, name: str) -> None:
    _grow(tmp_path, name)
    layout = find_layout(tmp_path)
    assert layout.name == name
    assert layout.summary.startswith(f"{name}: ")
    assert "\n" not in layout.summary
    assert facts(layout)
    assert facts(find_layout(tmp_path, name)) == facts(layout)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_travels_to_another_process(tmp_path: Path, name: str) -> None:
    layout = find_layout(_grow(tmp_path, name))
    again = pickle.loads(pickle.dumps(layout))  # noqa: S301 - our own
    assert list(again.entries()) == list(layout.entries())


def test_the_first_in_the_order_wins(tmp_path: Path) -> None:
    for name in ("folder", "table", "msrvtt", "ucf101", "lists", "videofolder", "webvid"):
        plant(tmp_path, {"a.mp4": "", **TREES[name]})
        assert find_layout(tmp_path).name == name


@pytest.mark.parametrize("name", [name for name in LAYOUTS if name not in ("folder", "ucf101")])
def test_a_forced_layout_needs_its_files(tmp_path: Path, name: str) -> None:
    plant(tmp_path, {"d/a.mp4": "", "d/a.txt": "x"})
    with pytest.raises(ConfigError, match=rf"--layout {name}: needs .*, which .* has not; name"):
        find_layout(tmp_path, name)


def test_an_index_can_be_passed_over(tmp_path: Path) -> None:
    _grow(tmp_path, "table")
    assert facts(find_layout(tmp_path, "folder")) == [("a.mp4", (), "")]


def test_unknown_layouts_are_guessed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"vidofolder: unknown, did you mean videofolder\?"):
        find_layout(tmp_path, "vidofolder")
    with pytest.raises(ConfigError, match="--layout zzz: unknown; use folder, videofolder"):
        find_layout(tmp_path, "zzz")


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("absent", "does not exist; name a folder"),
        ("a\0b", "does not exist"),
        ("a.mp4", "is one video; name its folder"),
        ("a.md", "is no list and no tar"),
    ],
)
def test_sources_that_are_none(tmp_path: Path, name: str, match: str) -> None:
    plant(tmp_path, {"a.mp4": "", "a.md": ""})
    with pytest.raises(DataError, match=match):
        find_layout(tmp_path / name)


def test_media_roots_that_are_none(tmp_path: Path) -> None:
    _grow(tmp_path, "folder")
    with pytest.raises(ConfigError, match="is no folder; name that of the videos"):
        find_layout(tmp_path, media_root=tmp_path / "absent")
    with pytest.raises(ConfigError, match="layout folder has its videos in"):
        find_layout(tmp_path, media_root=tmp_path)


def test_several_tables_are_ambiguous(tmp_path: Path) -> None:
    text = "video\na.mp4\n"
    plant(
        tmp_path, {"a.csv": text, "b.jsonl": '{"path": "a.mp4"}', "c.csv": "id\n1\n", "a.mp4": ""}
    )
    with pytest.raises(ConfigError, match=r"several tables \(a\.csv, b\.jsonl\); name one of them"):
        find_layout(tmp_path)
    assert find_layout(tmp_path / "b.jsonl").name == "table"


def test_an_index_behind_a_link_out_of_the_folder_is_not_read(tmp_path: Path) -> None:
    plant(tmp_path, {"secret.csv": "video,text\na.mp4,secret\n", "s/a.mp4": ""})
    (tmp_path / "s/clips.csv").symlink_to(tmp_path / "secret.csv")
    assert facts(find_layout(tmp_path / "s")) == [("a.mp4", (), "")]


def test_nothing_here_needs_torch() -> None:
    code = "import sys, fbridge.data.sources; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
