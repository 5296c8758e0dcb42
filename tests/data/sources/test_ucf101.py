from __future__ import annotations

import os
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fbridge.data.sources import find_layout
from fbridge.data.sources.ucf101 import class_words
from fbridge.errors import ConfigError, DataError
from tests.data.sources.trees import by_key, plant

APPLY = "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c0{}.avi"
PUSH = "HandstandPushups/v_HandStandPushups_g01_c01.avi"
YOYO = "YoYo/v_YoYo_g25_c05.avi"
CLIPS = dict.fromkeys([APPLY.format(1), APPLY.format(2), PUSH, YOYO], "")
LISTS = {
    "trainlist01.txt": f"{APPLY.format(1)} 1\r\n{YOYO} 101\n",
    "testlist01.txt": f"{PUSH}\n",
    "trainlist02.txt": f"{PUSH} 37\n",
    "testlist02.txt": f"{APPLY.format(1)}\n",
    "testlist03.txt": f"{APPLY.format(1)}\n",
    "classInd.txt": "1 ApplyEyeMakeup\n37 HandStandPushups\n101 YoYo\n",
}


@pytest.mark.parametrize(
    ("clips", "lists"),
    [
        ("s/", "s/"),
        ("s/", "s/ucfTrainTestlist/"),
        ("s/", "ucfTrainTestlist/"),
        ("s/UCF-101/", "s/ucfTrainTestlist/"),
        ("s/UCF-101/", "s/UCF-101/"),
    ],
)
def test_classes_splits_and_labels(tmp_path: Path, clips: str, lists: str) -> None:
    plant(tmp_path, {clips + name: text for name, text in CLIPS.items()})
    plant(tmp_path, {lists + name: text for name, text in LISTS.items()})
    layout = find_layout(tmp_path / "s")
    assert layout.summary == (
        "ucf101: 3 classes, caption from the class name, splits from classInd.txt, "
        "testlist01.txt, testlist02.txt and 3 more"
    )
    inner = clips.removeprefix("s/")
    found = [(entry.key, entry.captions, entry.split, entry.label) for entry in layout.entries()]
    assert found == [
        (inner + APPLY.format(1), ("apply eye makeup",), ("train01", "test02", "test03"), 0),
        (inner + APPLY.format(2), ("apply eye makeup",), (), 0),
        (inner + PUSH, ("handstand pushups",), ("test01", "train02"), 36),
        (inner + YOYO, ("yo yo",), ("train01",), 100),
    ]


def test_names_of_clips_are_enough(tmp_path: Path) -> None:
    plant(tmp_path, CLIPS)
    layout = find_layout(tmp_path)
    assert layout.summary == "ucf101: 3 classes, caption from the class name, no splits"
    assert {entry.label for entry in layout.entries()} == {0, 1, 2}


def test_other_folders_beside_the_lists_are_not_ucf101(tmp_path: Path) -> None:
    plant(tmp_path, {"ucfTrainTestlist/" + name: text for name, text in LISTS.items()})
    plant(tmp_path, {"other/dogs/1.mp4": "", "other/cats/2.mp4": ""})
    assert find_layout(tmp_path / "other").name == "folder"
    found = by_key(tmp_path / "other", "ucf101")
    assert found["cats/2.mp4"].captions == ("cats",)
    assert found["dogs/1.mp4"].label is None


def test_a_missing_video_shifts_nothing_and_is_told(tmp_path: Path) -> None:
    plant(tmp_path, {**CLIPS, **LISTS})
    (tmp_path / APPLY.format(1)).unlink()
    found = by_key(tmp_path)
    assert found[APPLY.format(2)].split == ()
    assert found[YOYO].captions == ("yo yo",)
    gone = found[APPLY.format(1)]
    assert gone.refused.startswith("missing")
    assert gone.missing
    assert gone.split == ("train01", "test02", "test03")


def test_transcoded_clips_keep_their_splits(tmp_path: Path) -> None:
    plant(tmp_path, {name.replace(".avi", ".mp4"): text for name, text in CLIPS.items()})
    plant(tmp_path, LISTS)
    found = by_key(tmp_path)
    assert found[YOYO.replace(".avi", ".mp4")].split == ("train01",)
    assert not any(entry.refused for entry in found.values())


def test_lists_lead_nowhere_else(tmp_path: Path) -> None:
    lines = f"../out.avi 1\n/etc/passwd 1\n{tmp_path}/out.avi 1\n"
    plant(tmp_path, {"out.avi": "secret", "s/trainlist01.txt": lines, f"s/{YOYO}": ""})
    found = by_key(tmp_path / "s")
    assert len(found) == 4
    assert all(
        entry.media is None and entry.refused.startswith("leaves the source folder")
        for key, entry in found.items()
        if key != YOYO
    )


def test_a_class_whose_name_is_no_utf8_has_a_caption_that_is(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"Gr\xfcnTea")
    folder.mkdir()
    (folder / "v_x_g01_c01.avi").write_bytes(b"")
    (entry,) = find_layout(tmp_path).entries()
    assert entry.captions == ("gr n tea",)


def test_a_damaged_class_list_names_its_line(tmp_path: Path) -> None:
    plant(tmp_path, {**CLIPS, "classInd.txt": "1 ApplyEyeMakeup\nx YoYo\n"})
    with pytest.raises(DataError, match=r"classInd\.txt:2: 'x YoYo' is not a number and a class"):
        find_layout(tmp_path)


def test_a_media_root_is_of_no_use(tmp_path: Path) -> None:
    plant(tmp_path, CLIPS)
    with pytest.raises(ConfigError, match="layout ucf101 has its videos in"):
        find_layout(tmp_path, media_root=tmp_path)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ApplyEyeMakeup", "apply eye makeup"),
        ("YoYo", "yo yo"),
        ("TaiChi", "tai chi"),
        ("PlayingDhol", "playing dhol"),
        ("HandstandPushups", "handstand pushups"),
        ("TVShow", "tv show"),
        ("ride_a-bike", "ride a bike"),
        ("Room101Door", "room 101 door"),
        ("ÉcouterMusique", "écouter musique"),
        ("__", ""),
    ],
)
def test_class_names_in_words(name: str, words: str) -> None:
    assert class_words(name) == words


@given(st.lists(st.text(string.ascii_lowercase, min_size=2), min_size=1))
def test_words_come_back(words: list[str]) -> None:
    assert class_words("".join(word.capitalize() for word in words)) == " ".join(words)


@given(st.text(string.ascii_letters + string.digits + "_- ."))
def test_no_letter_is_lost(name: str) -> None:
    kept = "".join(letter for letter in name.lower() if letter.isalnum())
    assert class_words(name).replace(" ", "") == kept
