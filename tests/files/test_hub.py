"""Names of the hub's repositories, and the one call that fetches from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fbridge.errors import CheckpointError
from fbridge.files.hub import cached_snapshot, fetch_snapshot, name_in_address, parse_hub_name
from fbridge.loaders.names import check_model
from fbridge.loaders.resolve import resolve


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("owner/name", ("owner/name", None)),
        ("owner/name@main", ("owner/name", "main")),
        ("owner/name@refs/pr/3", ("owner/name", "refs/pr/3")),
        ("owner/name@", None),
        ("name", None),
        ("name@owner/main", None),
        ("a/b/c", None),
        ("./owner/name", None),
        ("/owner/name", None),
        ("~/name", None),
    ],
)
def test_names(name: str, found: tuple[str, str | None] | None) -> None:
    assert parse_hub_name(name) == found


def test_the_revision_goes_to_the_hub_apart_from_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    def snapshot(name: str, **options: Any) -> str:
        asked.append((name, options))
        return "there"

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    assert fetch_snapshot("o/n@v1", ["*.json"], what="model") == Path("there")
    assert cached_snapshot("o/n@v1", ["*.json"]) == Path("there")
    fetch_snapshot("o/n@v1", [], what="model", revision="v2", ignore=["*.py"])
    fetch_snapshot("o/n", [], what="model")
    assert asked == [
        ("o/n", {"allow_patterns": ["*.json"], "revision": "v1"}),
        ("o/n", {"allow_patterns": ["*.json"], "revision": "v1", "local_files_only": True}),
        ("o/n", {"allow_patterns": [], "revision": "v2", "ignore_patterns": ["*.py"]}),
        ("o/n", {"allow_patterns": []}),
    ]


def test_a_refusal_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def snapshot(*_: Any, **__: Any) -> str:
        raise OSError("no such repository\nand more of it")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    with pytest.raises(CheckpointError, match=r"^codec 'o/n' cannot be had .*no such repository$"):
        fetch_snapshot("o/n", [], what="codec 'o/n'")
    assert cached_snapshot("o/n", []) is None


def test_a_web_page_names_its_hub_id() -> None:
    page = "https://hub.example/Wan-AI/Wan2.1-T2V-1.3B-Diffusers"
    assert name_in_address(f"{page}/tree/main") == "Wan-AI/Wan2.1-T2V-1.3B-Diffusers"
    assert name_in_address("owner/name") is None
    with pytest.raises(
        CheckpointError, match=r"no such folder; use its hub id, Wan-AI/Wan2\.1-T2V"
    ):
        check_model("--model", page)
    with pytest.raises(CheckpointError, match=r"the hub id of that page is Wan-AI/Wan2\.1-T2V"):
        resolve(page)
