"""Which picture of a folder a video was made from."""

from __future__ import annotations

from pathlib import Path

import pytest

from fbridge.errors import DataError
from fbridge.evaluation.origins import find_pictures


def lay(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_the_whole_name_goes_first(tmp_path: Path) -> None:
    lay(tmp_path, "clip.png", "a/clip.JPG", "b/clip.png", "one.v2.webp", "notes.txt", ".one.v2.png")
    found = find_pictures(tmp_path, ["a/clip", "b/clip", "clip", "one.v2"])
    named = {key: path.relative_to(tmp_path).as_posix() for key, path in found.items()}
    assert named == {
        "a/clip": "a/clip.JPG", "b/clip": "b/clip.png", "clip": "clip.png",
        "one.v2": "one.v2.webp",
    }  # fmt: skip


def test_the_last_part_of_a_name_is_enough_where_it_is_unique(tmp_path: Path) -> None:
    lay(tmp_path, "one.png", "two.png", "other/three.png")
    found = find_pictures(tmp_path, ["a/one", "b/two"])
    assert [path.name for path in found.values()] == ["one.png", "two.png"]
    with pytest.raises(DataError, match="holds no picture for 1 of 1 videos, such as 'three'"):
        find_pictures(tmp_path, ["three"])


def test_numbered_videos_of_a_prompt_have_its_picture(tmp_path: Path) -> None:
    """Vchitect/VBench #11: five videos "<prompt>-0.mp4" of each picture "<prompt>.jpg"."""
    lay(tmp_path, "a cat, sitting.jpg", "take-1.png")
    keys = ["a cat, sitting-0", "a cat, sitting-4", "take-1", "take-1-12"]
    found = find_pictures(tmp_path, keys)
    assert [path.stem for path in found.values()] == ["a cat, sitting"] * 2 + ["take-1"] * 2


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        (["a/clip", "b/clip"], "would be the picture of 'a/clip' and of 'b/clip'; lay"),
        (["clip", "b/clip"], "would be the picture of 'clip' and of 'b/clip'"),
        (["two"], "'two' may be of two.jpg or two.png; keep one"),
    ],
)
def test_ambiguous_names_are_refused(tmp_path: Path, keys: list[str], told: str) -> None:
    lay(tmp_path, "clip.png", "two.png", "two.jpg")
    with pytest.raises(DataError, match=told):
        find_pictures(tmp_path, keys)
