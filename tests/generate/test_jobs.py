"""Lists of jobs as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from fbridge.errors import DataError
from fbridge.generate import GenerateRequest
from fbridge.generate.jobs import gather_jobs


def listed(folder: Path, name: str, text: str) -> list[tuple[str, str, int]]:
    (folder / name).write_text(text, encoding="utf-8-sig")
    jobs = gather_jobs(GenerateRequest(images=[folder / name]))
    return [(str(job.picture.relative_to(folder)), job.prompt, job.seed) for job in jobs]


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_columns_in_any_case_and_other_separators(tmp_path: Path, mark: str) -> None:
    lines = [['"Image"', "PROMPT ", "seed"], ["a.jpg", '"a cat, sitting; x"', "3"]]
    text = "\n".join(map(mark.join, lines))
    assert listed(tmp_path, "l.csv", text) == [("a.jpg", "a cat, sitting; x", 3)]
    row = '{"Image": "a.jpg", "Prompt": "jump", "SEED": 4}'
    assert listed(tmp_path, "l.jsonl", row) == [("a.jpg", "jump", 4)]


def test_separators_of_windows(tmp_path: Path) -> None:
    (tmp_path / "odd\\name.jpg").touch()
    text = "image,prompt\nv\\a.jpg,x\nodd\\name.jpg,y\n"
    assert listed(tmp_path, "l.csv", text) == [("v/a.jpg", "x", 0), ("odd\\name.jpg", "y", 0)]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("l.csv", "image,Image,prompt\na.jpg,b.jpg,x\n", "has two columns image; rename"),
        (
            "l.jsonl",
            '{"image": "a.jpg", "Image": "b.jpg"}',
            "line 1: column 'image' is there twice",
        ),
        ("l.csv", "picture;prompt\na.jpg;x\n", "has no column image"),
    ],
)
def test_columns_that_clash_are_refused(tmp_path: Path, name: str, text: str, told: str) -> None:
    with pytest.raises(DataError, match=told):
        listed(tmp_path, name, text)
