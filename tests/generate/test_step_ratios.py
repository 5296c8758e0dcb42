"""Ratios of MagCache in the user's cache: kept by model, and never in the way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fbridge.generate.step_ratios import KeptRatios, ratios_of


def test_they_are_kept_and_joined(tmp_path: Path) -> None:
    file = tmp_path / "new" / "ratios.json"
    one, two = KeptRatios(file), KeptRatios(file)
    one["ode 8"] = [[1.0, 0.9]]
    two["ode 6"] = [[1.0], [0.5]]
    assert KeptRatios(file) == {"ode 8": [[1.0, 0.9]], "ode 6": [[1.0], [0.5]]}


BROKEN = (
    "", "{", "[]", '{"ode": 3}', '{"ode": [["x"]]}', '{"ode": [1]}', '{"ode": []}',
    '{"ode": [[NaN]]}', '{"ode": [[1e999]]}', "[" * 9999,
)  # fmt: skip


@pytest.mark.parametrize("text", BROKEN, ids=lambda text: text[:9])
def test_a_broken_file_is_measured_anew(tmp_path: Path, text: str) -> None:
    file = tmp_path / "ratios.json"
    file.write_text(text)
    found = KeptRatios(file)
    assert found == {}
    found["ode"] = [[1.0]]
    assert json.loads(file.read_text()) == {"ode": [[1.0]]}


def test_a_place_that_cannot_be_written_loses_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    found = KeptRatios(tmp_path / "file" / "ratios.json")
    found["ode"] = [[1.0]]
    assert found["ode"] == [[1.0]]


def test_another_model_has_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FBRIDGE_CACHE", str(tmp_path))
    ratios_of({"model": "a"})["ode"] = [[1.0]]
    assert ratios_of({"model": "a"}) == {"ode": [[1.0]]}
    assert ratios_of({"model": "b"}) == {}
