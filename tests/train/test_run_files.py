"""What a run's folder says of it: curves that survive, facts that are read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fbridge.config.read import load_config
from fbridge.config.tree import Config
from fbridge.errors import CheckpointError
from fbridge.train.run_files import (
    CONFIG,
    CURVES,
    FACTS,
    Curves,
    environment_facts,
    read_curves,
    read_facts,
    write_run,
)

SHAPE = {
    "channels": 3, "height": 4, "width": 4, "condition_channels": 3, "condition_height": 4,
    "condition_width": 4, "text_width": 384, "classes": ["a"], "frames": 3, "step": 1, "fps": 8.0,
    "sizes": [[8, 8]],
}  # fmt: skip
RUN = {"command": "finetune", "base": None, "data": {"codec": {"name": "c"}}, "shape": SHAPE}


def begun(run: Path, step: int = 0) -> Curves:
    curves = Curves(run)
    curves.begin(step)
    return curves


def test_rows_come_back_and_new_columns_are_added(tmp_path: Path) -> None:
    curves = begun(tmp_path)
    curves.add(1, {"loss": 0.5, "lr": 1e-4})
    curves.add(1, {"held_out": 0.25})
    curves.add(2, {"lr": 1e-5, "loss": 0.375})
    assert read_curves(tmp_path / CURVES) == [
        {"step": 1, "loss": 0.5, "lr": 1e-4},
        {"step": 1, "held_out": 0.25},
        {"step": 2, "loss": 0.375, "lr": 1e-5},
    ]
    assert (tmp_path / CURVES).read_text().splitlines()[0] == "step,loss,lr,held_out"
    assert all(isinstance(row["step"], int) for row in read_curves(tmp_path / CURVES))


def test_a_resume_drops_what_lies_behind_it(tmp_path: Path) -> None:
    curves = begun(tmp_path)
    for step in (1, 2, 3):
        curves.add(step, {"loss": step / 2})
    curves.add(3, {"held_out": 1.0})
    again = begun(tmp_path, 2)
    again.add(3, {"loss": 9.0})
    told = read_curves(tmp_path / CURVES)
    assert told == [{"step": s, "loss": loss} for s, loss in ((1, 0.5), (2, 1.0), (3, 9.0))]


def test_a_new_run_begins_anew(tmp_path: Path) -> None:
    curves = begun(tmp_path)
    curves.add(0, {"held_out": 2.0})
    curves.add(1, {"loss": 1.0})
    begun(tmp_path)
    assert read_curves(tmp_path / CURVES) == []


@pytest.mark.parametrize("torn", ["3", "3,", "3,0.", "3,0.5,1e", "3,0.5,1e-", "3,0.5,0.25"])
def test_a_torn_line_is_passed_over(tmp_path: Path, torn: str) -> None:
    curves = begun(tmp_path)
    for step in (1, 2):
        curves.add(step, {"loss": 0.5, "lr": 0.25})
    with (tmp_path / CURVES).open("a") as file:
        file.write(torn)
    assert [row["step"] for row in read_curves(tmp_path / CURVES)] == [1, 2]
    begun(tmp_path, 2).add(3, {"loss": 1.0, "lr": 0.5})
    assert read_curves(tmp_path / CURVES)[-1] == {"step": 3, "loss": 1.0, "lr": 0.5}


def test_there_may_be_no_curves_yet(tmp_path: Path) -> None:
    assert read_curves(tmp_path / CURVES) == []


def test_configuration_and_facts_are_read_back(tmp_path: Path) -> None:
    config = Config.model_validate({"data": "d", "train": {"lr": 3e-4}, "lora": {"rank": 4}})
    write_run(tmp_path, config, RUN)
    assert load_config(file=tmp_path / CONFIG).config == config
    assert read_facts(tmp_path) == {"format": 1, **RUN}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"command": "prepare"},
            "'command' is 'prepare' where 'train-prior' or 'finetune' is needed",
        ),
        ({"base": {"name": "x"}}, "lacks 'base.sha256'"),
        ({"data": {"codec": {}}}, "lacks 'data.codec.name'"),
        ({"shape": None}, "'shape' is None where"),
        (
            {"shape": {**SHAPE, "frames": "3"}},
            "'shape.frames' is '3' where a valid integer is needed",
        ),
        ({"shape": {**SHAPE, "sizes": [[0, 8]]}}, "'shape.sizes.0.0' is 0 where"),
        ({"shape": {**SHAPE, "fqs": 8}}, "has an unknown key 'shape.fqs'"),
    ],
)
def test_damaged_facts_are_named(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    write_run(tmp_path, Config.model_validate({"data": "d"}), {**RUN, **change})
    with pytest.raises(CheckpointError, match=rf"run\.json: is damaged \({told}.*; --resume"):
        read_facts(tmp_path)


@pytest.mark.parametrize("held", [None, "{", "[]", "{}"])
def test_a_folder_that_is_no_run_is_refused(tmp_path: Path, held: str | None) -> None:
    if held is not None:
        (tmp_path / FACTS).write_text(held)
    with pytest.raises(CheckpointError, match="is no run of fbridge"):
        read_facts(tmp_path)


def test_a_newer_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / FACTS).write_text('{"format": 2}')
    with pytest.raises(CheckpointError, match="has format 2, this fbridge reads 1"):
        read_facts(tmp_path)


def test_versions_of_what_decides_the_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fbridge.train.run_files.PACKAGES", ("torch", "no-such-package"))
    told = environment_facts()
    assert told["versions"]["torch"][0].isdigit()
    assert told["versions"]["no-such-package"] == "none"
    assert told["versions"]["python"].count(".") == 2
    monkeypatch.setenv("PATH", "")
    assert environment_facts()["git"] == ""


@pytest.mark.parametrize(
    ("old", "new", "left"),
    [
        (b"0.25", b"0.2\x185", [1, 3]),
        (b"0.25", b"\xac.25", [1, 3]),
        (b"0.25", b"-", [1, 3]),
        (b"0.25", b"0,25", [1, 3]),
        (b"0.25", b"1" * 200_000, [1, 3]),
        (b"\n2,", b"\n2.5,", [1, 3]),
        (b"2,0.25", b"\0" * 512, [1, 3]),
        (b"step", b"stdp", []),
    ],
)
def test_a_damaged_curve_never_stops_a_resume(
    tmp_path: Path, old: bytes, new: bytes, left: list[int]
) -> None:
    curves = begun(tmp_path)
    for step in (1, 2, 3):
        curves.add(step, {"loss": step / 8})
    path = tmp_path / CURVES
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    before = path.read_bytes()
    assert [row["step"] for row in read_curves(path)] == left
    again = Curves(tmp_path)
    told = again.begin(3)
    assert told.startswith(f"{path}: {3 - len(left)} damaged rows are left out; the file as it was")
    assert (tmp_path / "metrics-damaged.csv").read_bytes() == before
    again.add(4, {"loss": 9.0})
    assert [row["step"] for row in read_curves(path)] == [*left, 4]
    assert Curves(tmp_path).begin(4) == ""
