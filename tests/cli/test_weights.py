"""fbridge weights: what is known of networks, and what is here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fbridge.weights import ENTRIES
from fbridge_cli.main import run


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FBRIDGE_CACHE", str(tmp_path))
    for entry in ENTRIES.values():
        monkeypatch.delenv(entry.variable, raising=False)
    return tmp_path


def test_all_networks_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["weights", "list", "--json"]) == 0
    told: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in told] == list(ENTRIES)
    for one in told:
        assert one["licence"]
        known = len(one["sha256"]) == 64
        assert known == (one["bytes"] > 0) or one["name"] == "musiq"
        assert known == bool(one["urls"] or one["requirement"])  # only what can be verified
    assert run(["weights", "list"]) == 0
    assert "not here" in capsys.readouterr().out
    assert run(["weights"]) == 0


def test_a_wrong_file_is_found(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (cache / ENTRIES["inception"].file).write_bytes(b"something else")
    assert run(["weights", "verify", "inception"]) == 3
    told = capsys.readouterr().err
    assert "not the genuine file, 14 bytes" in told
    assert "inception: not genuine; delete the files" in told
    assert run(["weights", "verify", "dino"]) == 0
    assert "dino: not here" in capsys.readouterr().out


def test_mistakes_have_names(capsys: pytest.CaptureFixture[str]) -> None:
    for words, told in (
        (["fetch"], "name networks, or say --all"),
        (["fetch", "i3d", "--all"], "name networks, or say --all"),
        (["fetch", "incepton"], "incepton: unknown, did you mean inception?"),
        (["verify", "x"], "x: unknown"),
    ):
        assert run(["weights", *words]) == 2
        assert told in capsys.readouterr().err
    assert run(["weights", "fetch", "c3d"]) == 4
    assert "c3d: has no address to fetch it from" in capsys.readouterr().err


def test_a_twin_that_is_here_is_not_fetched_again(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    twin = ENTRIES["i3d-script"]
    (cache / twin.file).write_bytes(b"something else")
    assert run(["weights", "fetch", "i3d"]) == 0
    assert f"i3d: is here already, {cache / twin.file}" in capsys.readouterr().err
    assert run(["weights", "verify", "i3d-script"]) == 3
    told = capsys.readouterr().err
    assert f"{twin.file}: not the genuine file, 14 bytes; needed is {twin.file}" in told
