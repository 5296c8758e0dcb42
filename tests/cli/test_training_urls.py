"""Runs behind URLs: a bucket on the loopback, and the real command line on tiny networks."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from fbridge.data.stores import Store, StoreUrl
from fbridge.errors import ConfigError
from fbridge.train.run_files import locked_run
from fbridge.train.stored import StoredRun, local_folder
from tests.cli.conftest import Workshop
from tests.data.stores.conftest import Fill
from tests.data.stores.servers import Faults


@pytest.fixture
def runs(fill: Fill, tmp_path: Path) -> StoreUrl:
    """An empty folder of a bucket."""
    (tmp_path / "nothing").mkdir()
    return fill(tmp_path / "nothing").parent / "runs"


def names(url: StoreUrl) -> set[str]:
    return {item.name for item in Store(url).items()}


def checkpoints(url: StoreUrl) -> set[str]:
    return {name.partition("/")[0] for name in names(url) if name.startswith("checkpoint-")}


def test_a_run_goes_into_a_bucket_and_on_from_there(
    workshop: Workshop, runs: StoreUrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prior, bridge = runs / "prior", runs / "bridge"
    ran = workshop.run("train-prior", *workshop.words(steps=2, base=False), "-o", prior)
    assert ran.code == 0, ran.err
    assert f"model: {prior}/prior, after 2 steps" in ran.out
    assert f"--prior {prior}" in ran.out
    line = ["finetune", *workshop.words(steps=4), "--prior", prior]
    ran = workshop.run(*line, "-o", bridge)
    assert ran.code == 0, ran.err
    assert f"--model {bridge} -o {bridge}/example.mp4" in ran.out
    assert checkpoints(bridge) == {"checkpoint-2", "checkpoint-4"}
    assert {"config.toml", "run.json", "metrics.csv", "report.html", "model/model_index.json"} <= (
        names(bridge)
    )
    assert not local_folder(bridge).exists(), "the store has all of it"
    stored = Store(bridge)
    stored.download(stored.item("report.html"), tmp_path / "report.html")
    assert str(local_folder(bridge)) not in (tmp_path / "report.html").read_text()

    taken = workshop.run(*line, "-o", bridge)
    assert taken.code == 2
    assert f"{bridge}: has a run at step 4; add --resume" in taken.err.replace("\n", " ")

    monkeypatch.setenv("FBRIDGE_CACHE", str(tmp_path / "another machine"))
    merged = tmp_path / "merged"
    told = workshop.run("export", bridge, "--checkpoint", 2, "-o", merged)
    assert told.code == 0, told.err
    assert f"merged: merged, step 2 of {bridge}" in told.out.replace("\n", " ")
    assert (merged / "model_index.json").is_file()
    told = workshop.run("export", bridge, "--checkpoint", 3, "-o", tmp_path / "other")
    assert told.code == 4
    assert f"{bridge}: has no checkpoint of step 3" in told.err.replace("\n", " ")
    told = workshop.run("export", runs / "none", "-o", tmp_path / "other")
    assert told.code == 3
    assert f"{runs / 'none'}" in told.err.replace("\n", " ")
    assert not (tmp_path / "other").exists()
    told = workshop.run("export", bridge, "-o", tmp_path / "newest")
    assert told.code == 0, told.err
    assert f"newest: merged, step 4 of {bridge}" in told.out.replace("\n", " ")

    ran = workshop.run("finetune", "-o", bridge, "--resume", "--steps", 6, "--device", "cpu")
    assert ran.code == 0, ran.err
    assert f"going on from {bridge}/checkpoint-4" in ran.err.replace("\n", " ")
    assert checkpoints(bridge) == {"checkpoint-4", "checkpoint-6"}


def test_one_checkpoint_is_fetched_and_a_damaged_one_passed_over(
    workshop: Workshop, runs: StoreUrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = runs / "bridge"
    assert workshop.run("finetune", *workshop.words(steps=4), "-o", url).code == 0
    monkeypatch.setenv("FBRIDGE_CACHE", str(tmp_path / "another machine"))
    stored = StoredRun(url)
    stored.fetch()
    weights = {step: stored.folder / f"checkpoint-{step}/network.safetensors" for step in (2, 4)}
    assert weights[2].read_bytes() == bytes(weights[2].stat().st_size), "holes"
    assert any(weights[4].read_bytes())
    asked = weights[4].stat().st_mtime_ns
    stored.fetch()
    assert weights[4].stat().st_mtime_ns == asked, "nothing newer is there"

    stored.fetch(99)
    assert any(weights[4].read_bytes()), "a mistyped step removes nothing"
    with locked_run(stored.folder), pytest.raises(ConfigError, match="another training is at work"):
        stored.fetch(2)
    assert any(weights[4].read_bytes()), "nor does a second line beside a training"
    stored.fetch(2)
    assert any(weights[2].read_bytes())
    assert not any(weights[4].read_bytes()), "holes"
    stored.fetch()
    assert any(weights[4].read_bytes()), "a checkpoint of holes is not had"

    (tmp_path / "damage").write_bytes(bytes(weights[4].stat().st_size))
    Store(url).upload(tmp_path / "damage", "checkpoint-4/network.safetensors")
    monkeypatch.setenv("FBRIDGE_CACHE", str(tmp_path / "third machine"))
    ran = workshop.run("finetune", "-o", url, "--resume", "--device", "cpu")
    assert ran.code == 0, ran.err
    told = ran.err.replace("\n", " ")
    assert f"{url}/checkpoint-4/network.safetensors is damaged; passed over" in told
    assert f"going on from {url}/checkpoint-2" in told


def test_a_store_that_fails_meanwhile_ends_nothing(
    workshop: Workshop, runs: StoreUrl, proxy: Faults
) -> None:
    url = runs / "bridge"
    proxy.rule = lambda method, path, _: "403" if "checkpoint-2" in path and method == "PUT" else ""
    ran = workshop.run("finetune", *workshop.words(steps=4), "-o", url, "--json")
    told = ran.err.replace("\n", " ")
    assert ran.code == 3, told
    assert "training goes on, and files follow with the next checkpoint" in told
    assert "the same line with --resume uploads it" in told
    proxy.rule = lambda *_: ""
    ran = workshop.run("finetune", "-o", url, "--resume", "--device", "cpu", "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["run"] == str(url)
    assert json.loads(ran.out)["result"] == f"{url}/model"
    assert checkpoints(url) == {"checkpoint-2", "checkpoint-4"}


def test_mistakes_are_named(workshop: Workshop, runs: StoreUrl, proxy: Faults) -> None:
    words = workshop.words(steps=2)
    for line, told in (
        (("-o", "https://host/run"), "https:// is only read"),
        (("-o", "s3://KEY:SECRET@runs/a"), "holds credentials"),
        (("-o", runs / "none", "--resume"), f"there is no run {runs}/none"),
        (("-o", runs / "a", "--prior", runs / "none"), f"{runs}/none: there is no such object"),
    ):
        given = [] if "--resume" in line else words
        ran = workshop.run("finetune", *given, *line)
        assert ran.code in (2, 3), ran
        assert told in ran.err.replace("\n", " ")
        assert "SECRET" not in ran.err
    proxy.rule = lambda method, *_: "403" if method == "PUT" else ""
    ran = workshop.run("finetune", *words, "-o", runs / "a")
    assert re.search(r"runs/a: cannot be written \(access is denied", ran.err.replace("\n", " "))


def test_several_machines_need_a_shared_folder(
    workshop: Workshop, runs: StoreUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_WORLD_SIZE": "1"}.items():
        monkeypatch.setitem(os.environ, name, value)
    ran = workshop.run("finetune", *workshop.words(), "-o", runs / "a")
    assert ran.code == 2
    assert "needs a folder that all of them see" in ran.err.replace("\n", " ")
