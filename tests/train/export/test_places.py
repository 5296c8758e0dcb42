"""A run and its adapter, used from another working folder, and after their base was moved."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fbridge.checks import home_expanded
from fbridge.data.latents import LatentDataset
from fbridge.errors import CheckpointError, ConfigError
from fbridge.generate import GenerateRequest
from fbridge.loaders.inspect import inspect_model
from fbridge.loaders.lora import read_card
from fbridge.memory.model_sizes import model_sizes
from fbridge.pipeline import FrameBridgePipeline
from fbridge.train.export.result import export_run
from fbridge.train.request import resolve_request
from fbridge.train.run import train
from fbridge.train.setup.session import build_session
from tests.train.sets import fresh_accelerate, short_run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, clips: LatentDataset, base: Path) -> Path:
    """A folder with a base and a run that named it by a relative path."""
    work = tmp_path_factory.mktemp("work")
    shutil.copy(base, work / "own.safetensors")
    config = short_run(clips.folder, Path("own.safetensors"), lora={"rank": 2},
                       validation={"rows": 0})  # fmt: skip
    before = Path.cwd()
    os.chdir(work)
    try:
        with fresh_accelerate():
            list(train(build_session("finetune", config, Path("run"), device="cpu")))
    finally:
        os.chdir(before)
    return work


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_base_is_found_from_another_folder(made: Path, elsewhere: Path) -> None:
    run, own = made / "run", str(made / "own.safetensors")
    card = read_card(run / "lora")
    assert (card.base, card.base_path) == ("own.safetensors", own)
    FrameBridgePipeline.from_pretrained(run)
    told = inspect_model(str(run))
    assert (told.base, told.missing) == (own, [])
    assert model_sizes(str(run)) == model_sizes(own)
    export_run(run, elsewhere / "merged", kind="merged")
    export_run(run, elsewhere / "lora", kind="lora")
    assert read_card(elsewhere / "lora") == card
    request = resolve_request("finetune", {"output": str(run)}, resume=True)
    assert request.config.base == own
    request = resolve_request("finetune", {"output": str(run), "base": "embedded"}, resume=True)
    assert request.config.base == "embedded"


def test_a_moved_base_is_named_anew(made: Path, elsewhere: Path) -> None:
    shutil.copytree(made, elsewhere / "copy")
    run, moved = elsewhere / "copy/run", elsewhere / "moved.safetensors"
    (elsewhere / "copy/own.safetensors").rename(moved)
    for card in (run / "lora/adapter.json", run / "run.json"):
        card.write_text(card.read_text().replace(str(made / "own"), "/nowhere/own"))
    assert inspect_model(str(run)).missing == ["its base, which --base names"]
    views: list[Callable[[str | None], object]] = [
        lambda base: FrameBridgePipeline.from_pretrained(run, base=base),
        lambda base: export_run(run, elsewhere / f"to-{base is None}", kind="lora", base=base),
        lambda base: model_sizes(str(run), base=base),
    ]
    for view in views:
        with pytest.raises(CheckpointError, match=r"own\.safetensors.*no such file.*--base"):
            view(None)
        view(str(moved))
    assert read_card(elsewhere / "to-False").base_path == str(moved)


def test_cards_of_before_are_read(made: Path, elsewhere: Path) -> None:
    shutil.copytree(made / "run/lora", elsewhere / "lora")
    path = elsewhere / "lora/adapter.json"
    held = json.loads(path.read_text())
    del held["base_path"], held["components_path"]
    path.write_text(json.dumps({**held, "base": str(made / "own.safetensors")}))
    FrameBridgePipeline.from_pretrained(elsewhere / "lora")


def test_base_is_refused_of_what_is_no_adapter(made: Path) -> None:
    own = str(made / "own.safetensors")
    with pytest.raises(ConfigError, match="is about the base of an adapter, and embedded is none"):
        FrameBridgePipeline.from_pretrained("embedded", base=own)
    with pytest.raises(ConfigError, match="is no adapter; leave it out"):
        model_sizes(own, base=own)
    with pytest.raises(CheckpointError, match=r"--base no/such/folder: no such folder"):
        GenerateRequest(images=[home_expanded("a.png")], base="no/such/folder")
