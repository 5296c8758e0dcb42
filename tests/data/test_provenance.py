from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fbridge.data.provenance import (
    Machine,
    ModelRecord,
    Provenance,
    Source,
    parse_provenance,
    read_provenance,
    sidecar_path,
)
from fbridge.data.video_files import write_video
from fbridge.errors import DataError
from fbridge.files.atomic import write_text
from fbridge.files.lora_record import LoraRecord

NAMES = ["cat.mp4", "cat.gif", "cat.webp", "cat"]
RECORD = Provenance(
    prompt='a cat "jumps" 猫\n',
    negative="",
    seed=2**63 - 1,
    sampler="dbim",
    steps=16,
    eta=0.1,
    guidance=None,
    grid="trailing",
    start="noised",
    frames=3,
    fps=12.5,
    size=(32, 16),
    picture=Source("cat.jpg", "a" * 64, "../pictures/cat.jpg"),
    model=ModelRecord("embedded", "b" * 64),
    machine=Machine("cpu", "float32", 2, 1),
    versions={"fbridge": "0.1.0", "torch": "2.13.0"},
)


def save(path: Path, record: Provenance = RECORD) -> None:
    frames = np.zeros((3, 16, 32, 3), np.uint8)
    frames[1:, 4:9] = 200
    write_video(frames, path, 8, comment=record.comment())


def test_sidecar_says_all() -> None:
    assert parse_provenance(RECORD.sidecar(), "cat.json") == RECORD


def test_comment_is_one_line_of_ascii_and_names_no_folder() -> None:
    private = replace(RECORD, model=ModelRecord("/home/jane/models/mine", "b" * 64))
    comment = private.comment()
    assert comment.isascii()
    assert "\n" not in comment
    assert "jane" not in comment
    assert "pictures" not in comment
    back = parse_provenance(comment, "cat.mp4")
    assert back.model.name == "mine"
    assert back == replace(
        private, model=ModelRecord("mine", "b" * 64), picture=Source("cat.jpg", "a" * 64)
    )


def test_notes_are_kept_and_left_out_where_there_are_none() -> None:
    noted = replace(RECORD, notes=("no motion is known for 'gallops'",))
    assert parse_provenance(noted.sidecar(), "cat.json") == noted
    assert "notes" not in RECORD.tree()
    with pytest.raises(DataError, match=r"notes is 'x' where a list of texts is needed"):
        parse_provenance(json.dumps({**RECORD.tree(), "notes": "x"}), "cat.json")


def test_loras_are_kept_and_left_out_where_there_are_none() -> None:
    lora = LoraRecord("style.safetensors", "c" * 64, 0.8, "/home/jane/style.safetensors")
    changed = replace(RECORD, model=ModelRecord("wan", "b" * 64, loras=(lora,)))
    assert parse_provenance(changed.sidecar(), "cat.json") == changed
    assert "jane" not in changed.comment()
    (kept,) = parse_provenance(changed.comment(), "cat.mp4").model.loras
    assert kept == replace(lora, path=None)
    assert "loras" not in RECORD.tree()["model"]
    tree = changed.tree()
    tree["model"]["loras"][0]["weight"] = "x"
    with pytest.raises(DataError, match=r"loras\.0\.weight is 'x' where a number is needed"):
        parse_provenance(json.dumps(tree), "cat.json")


@pytest.mark.parametrize("name", NAMES)
def test_every_kind_of_video_carries_it(tmp_path: Path, name: str) -> None:
    save(tmp_path / name)
    inside = read_provenance(tmp_path / name)
    assert inside == replace(RECORD, picture=replace(RECORD.picture, path=None))
    write_text(tmp_path / f"{name}.json", RECORD.sidecar())
    assert sidecar_path(tmp_path / name) == tmp_path / f"{name}.json"
    assert read_provenance(tmp_path / name) == RECORD
    assert read_provenance(tmp_path / f"{name}.json") == RECORD


def test_a_frame_of_a_folder_still_tells(tmp_path: Path) -> None:
    save(tmp_path / "cat")
    assert read_provenance(tmp_path / "cat" / "frame_0002.png").seed == RECORD.seed


def test_another_videos_sidecar_does_not_count(tmp_path: Path) -> None:
    save(tmp_path / "cat.mp4")
    write_text(tmp_path / "cat.mp4.json", replace(RECORD, seed=5).sidecar())
    assert read_provenance(tmp_path / "cat.mp4").seed == RECORD.seed


def test_sidecar_stands_in_for_a_lost_comment(tmp_path: Path) -> None:
    write_video(np.zeros((3, 16, 32, 3), np.uint8), tmp_path / "cat.mp4", 8, comment="by another")
    with pytest.raises(DataError, match=r"cat.mp4: carries no fbridge record \(made with --no-met"):
        read_provenance(tmp_path / "cat.mp4")
    write_text(tmp_path / "cat.mp4.json", RECORD.sidecar())
    assert read_provenance(tmp_path / "cat.mp4") == RECORD
    write_text(tmp_path / "cat.mp4.json", "{broken")
    with pytest.raises(DataError, match="carries no fbridge record"):
        read_provenance(tmp_path / "cat.mp4")


@pytest.mark.parametrize(
    ("field", "value", "line"),
    [
        ("format", 2, "has format 2, this fbridge reads 1; upgrade fbridge"),
        ("seed", "7", "seed is '7' where a whole number is needed"),
        ("seed", True, "seed is True where a whole number is needed"),
        ("steps", 1.5, "steps is 1.5 where a whole number is needed"),
        ("fps", None, "fps is None where a number is needed"),
        ("fps", float("nan"), "fps is nan where a number is needed"),
        ("eta", "x", "eta is 'x' where a number or null is needed"),
        ("prompt", 3, "prompt is 3 where text is needed"),
        ("size", [3], r"size is \[3\] where a pair of whole numbers is needed"),
        ("versions", ["x"], r"versions is \['x'\] where an object of texts is needed"),
        ("picture", "cat", "picture is 'cat' where an object is needed"),
        ("picture", {"name": 1}, r"picture.name is 1 where text is needed"),
        ("model", {"name": "m"}, r"model.hash is None where text is needed"),
    ],
)
def test_damaged_records(field: str, value: Any, line: str) -> None:
    tree = {**RECORD.tree(), field: value}
    with pytest.raises(DataError, match=line) as caught:
        parse_provenance(json.dumps(tree), "cat.json")
    assert str(caught.value).startswith("cat.json: ")


@pytest.mark.parametrize("text", ["", "[]", "3", '{"format": 1}', "[" * 100_000])
def test_what_is_no_record(text: str) -> None:
    with pytest.raises(DataError, match="x: carries no fbridge record"):
        parse_provenance(text, "x")


def test_unreadable_files(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match=r"a\.json: cannot be read as text"):
        read_provenance(tmp_path / "a.json")
    with pytest.raises(DataError, match="no such file"):
        read_provenance(tmp_path / "b.json")
    with pytest.raises(DataError, match=r"is a folder without frame_0000\.png"):
        read_provenance(tmp_path)
    (tmp_path / "a.mp4").write_text("words")
    with pytest.raises(DataError, match=r"a\.mp4: is damaged or no video"):
        read_provenance(tmp_path / "a.mp4")
