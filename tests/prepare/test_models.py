"""Which text encoder goes with a codec that nobody named one for."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub.utils import filter_repo_objects  # type: ignore[attr-defined]

from fbridge.loaders.text_encoder import MINILM
from fbridge.prepare.models import load_models
from tests.pipelines import publish


def options(codec: str) -> Any:
    """The part of an order that the models are chosen by."""
    cutting = SimpleNamespace(buckets=[(64, 64, 9)])
    return SimpleNamespace(codec=codec, text_encoder=None, device="cpu", cutting=cutting)


def test_a_folders_and_a_hub_ids_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = publish("wan", tmp_path / "base")
    _, own = load_models(options(str(base)))
    assert (own.name, own.max_tokens) == (str(base), 512)
    fetched: list[set[str]] = []

    def snapshot(name: str, *, allow_patterns: list[str], **_: Any) -> str:
        assert name == "owner/wan"
        files = [str(path.relative_to(base)) for path in base.rglob("*") if path.is_file()]
        wanted = set(filter_repo_objects(files, allow_patterns=allow_patterns))
        fetched.append(wanted)
        for file in wanted:
            (tmp_path / "cache" / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(base / file, tmp_path / "cache" / file)
        return str(tmp_path / "cache")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    codec, text = load_models(options("owner/wan"))
    assert (codec.name, text.name, text.hash) == ("owner/wan", "owner/wan", own.hash)
    assert not any(name.startswith("transformer") for wanted in fetched for name in wanted)
    alone = tmp_path / "alone"
    shutil.copytree(base / "vae", alone / "vae")
    assert load_models(options(str(alone)))[1].name == MINILM
