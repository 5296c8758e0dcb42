from __future__ import annotations

from pathlib import Path

import pytest

from fbridge.data.sources import find_layout
from fbridge.errors import ConfigError, DataError
from tests.data.sources.trees import facts, plant

CLIPS = dict.fromkeys(["v/a.mp4", "v/b.mp4", "v/c.mp4"], "")


@pytest.mark.parametrize("name", ["prompts.txt", "captions.txt", "prompt.txt", "Caption.TXT"])
def test_lines_belong_together(tmp_path: Path, name: str) -> None:
    odd = "a\u2028b\x0bc\x85d"  # ends of lines to Python, but not in this format
    plant(tmp_path, {"videos.txt": "v/a.mp4\r\nv/x.mp4\nv/b.mp4\nv/c.mp4", **CLIPS})
    plant(tmp_path, {name: f"\ufeff{odd}\none\n \nthree\n"})
    layout = find_layout(tmp_path)
    assert layout.summary == f"lists: videos.txt, caption from the same line of {name}"
    assert facts(layout) == [
        ("v/a.mp4", (odd,), ""),
        ("v/x.mp4", ("one",), "missing: there"),
        ("v/b.mp4", (), ""),
        ("v/c.mp4", ("three",), ""),
    ]


@pytest.mark.parametrize(
    ("videos", "prompts", "match"),
    [
        ("v/a.mp4\nv/b.mp4\n", "x\n", "has 1 lines for the 2 of videos.txt"),
        ("v/a.mp4\n", "x\n\n", "has 2 lines for the 1 of videos.txt"),
        ("v/a.mp4\n \nv/b.mp4\n", "x\n\ny\n", r"videos\.txt:2: is blank; remove"),
        ("", "", "holds no video as lists"),
    ],
)
def test_lists_that_do_not_fit(tmp_path: Path, videos: str, prompts: str, match: str) -> None:
    plant(tmp_path, {"videos.txt": videos, "prompts.txt": prompts, **CLIPS})
    with pytest.raises(DataError, match=match):
        find_layout(tmp_path)


def test_a_list_cut_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    plant(tmp_path, {"videos.txt": "v/a.mp4\nv/b.mp4\n", "prompts.txt": "x\ny\n", **CLIPS})
    layout = find_layout(tmp_path)
    plant(tmp_path, {"prompts.txt": "x\n"})
    with pytest.raises(DataError, match="changed while it was read"):
        list(layout.entries())


def test_paths_that_leave_and_captions_that_are_no_utf8(tmp_path: Path) -> None:
    plant(tmp_path, {"r/videos.txt": "../out.mp4\na.mp4\n", "out.mp4": "", "r/a.mp4": ""})
    plant(tmp_path, {"r/prompts.txt": b"x\ngr\xfcn\n"})
    assert facts(find_layout(tmp_path / "r")) == [
        ("../out.mp4", ("x",), "leaves the"),
        ("a.mp4", (), "prompts.txt:2: the"),
    ]


def test_two_lists_of_captions_are_ambiguous(tmp_path: Path) -> None:
    plant(tmp_path, {"videos.txt": "v/a.mp4", "prompts.txt": "x", "captions.txt": "y", **CLIPS})
    with pytest.raises(ConfigError, match=r"prompts\.txt and captions\.txt; keep one"):
        find_layout(tmp_path)


def test_videos_may_lie_elsewhere(tmp_path: Path) -> None:
    plant(tmp_path, {"l/videos.txt": "a.mp4", "l/prompts.txt": "x", "m/a.mp4": ""})
    layout = find_layout(tmp_path / "l", media_root=tmp_path / "m")
    assert facts(layout) == [("a.mp4", ("x",), "")]
