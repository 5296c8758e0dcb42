"""Runs behind URLs: a bucket on the loopback, and the real command line on tiny networks."""

from __future__ import annotations

import json
import os
import re
import socket
from pathlib import Path

import pytest
import torch.distributed as dist

from fbridge.data.stores import Store, StoreUrl
from fbridge.errors import ConfigError
from fbridge.train.request import Launch
from fbridge.train.run_files import locked_run, read_curves
from fbridge.train.stored_run import StoredRun, local_folder
from tests.cli.conftest import Workshop
from tests.data.stores.conftest import Fill
from tests.data.stores.servers import Faults
from tests.warm import WarmPython


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


@pytest.mark.parametrize(
    ("kind", "why"), [("503", "answered 503"), ("expired", "the credentials have expired")]
)
def test_a_store_that_fails_meanwhile_ends_nothing(
    workshop: Workshop, runs: StoreUrl, proxy: Faults, kind: str, why: str
) -> None:
    url = runs / "bridge"
    proxy.rule = lambda method, path, _: kind if "checkpoint-2" in path and method == "PUT" else ""
    ran = workshop.run("finetune", *workshop.words(steps=4), "-o", url, "--json")
    told = ran.err.replace("\n", " ")
    assert ran.code == 3, told
    assert "training goes on, and files follow with the next checkpoint" in told
    assert re.search(rf"error: {url}/checkpoint-2/\S+: {why}", told)
    assert "the same line with --resume uploads it" in told
    assert "Traceback" not in told
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
    (stored := StoredRun(runs / "a")).folder.mkdir(parents=True)
    (stored.folder / "run.json").write_text("{}")
    stored.push()
    proxy.rule = lambda _, path, __: "403" if path.count("/") < 3 else ""  # of folders
    for given in (["--resume"], words):
        ran = workshop.run("finetune", *given, "-o", runs / "a")
        assert ran.code == 3, ran
        assert re.search(r"runs/a: access is denied", ran.err.replace("\n", " "))
    proxy.rule = lambda *_: ""
    Store(stored.url).remove(["run.json"])
    stored.clean()
    proxy.rule = lambda method, *_: "403" if method == "PUT" else ""
    ran = workshop.run("finetune", *words, "-o", runs / "a")
    assert re.search(r"runs/a: cannot be written \(access is denied", ran.err.replace("\n", " "))


def copy_with(url: StoreUrl, *names: str) -> StoredRun:
    """A run whose copy has files of these names."""
    stored = StoredRun(url)
    for name in names:
        path = stored.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return stored


def test_a_checkpoint_is_there_with_all_that_belongs_to_it_or_not_at_all(
    runs: StoreUrl, proxy: Faults
) -> None:
    """A machine that goes on from it has the curves up to its step."""
    stored = copy_with(
        runs / "a", "metrics.csv", "run.json", "ema/2.safetensors", "validation/2/a.mp4",
        "model/model_index.json", "model/transformer/weights.safetensors",
        *(f"checkpoint-{n}/{name}" for n in (8, 10) for name in ("checkpoint.json", "network")),
    )  # fmt: skip
    stored.push()
    put = [path.partition("/runs/a/")[2] for method, path, _ in proxy.asked if method == "PUT"]
    assert put == [
        "ema/2.safetensors", "metrics.csv", "run.json",
        "checkpoint-10/network", "checkpoint-10/checkpoint.json",
        "checkpoint-8/network", "checkpoint-8/checkpoint.json",
        "model/transformer/weights.safetensors", "validation/2/a.mp4", "model/model_index.json",
    ]  # fmt: skip


def test_halves_of_checkpoints_and_abandoned_ones_go(runs: StoreUrl, proxy: Faults) -> None:
    here = ("checkpoint-2/checkpoint.json", "checkpoint-2/network")
    copy_with(runs / "a", *here, "checkpoint-4/network", "checkpoint-8/checkpoint.json").push()
    stored = StoredRun(runs / "a")
    stored.clean()
    copy_with(runs / "a", *here, "checkpoint-6/checkpoint.json", "checkpoint-6/network")
    stored.check_free(wanted=True)
    proxy.asked.clear()
    stored.push()
    assert checkpoints(runs / "a") == {"checkpoint-2", "checkpoint-6"}
    done = [f"{method} {path.rpartition('/runs/a/')[2]}" for method, path, _ in proxy.asked]
    first, last = "DELETE checkpoint-8/checkpoint.json", "DELETE checkpoint-4/network"
    whole = done.index("PUT checkpoint-6/checkpoint.json")
    assert done.index(first) < whole < done.index(last)


def test_a_late_process_leaves_the_run_to_the_first_of_its_machine(runs: StoreUrl) -> None:
    stored = copy_with(runs / "a", "run.json", "metrics.csv")
    stored.push()
    (stored.folder / "metrics.csv").write_text("step 1 of the first process")
    with locked_run(stored.folder):
        stored.fetch(launch=Launch(first=False, first_here=False, one_process=False))
        with pytest.raises(ConfigError, match="another training is at work"):
            stored.fetch()
    assert (stored.folder / "metrics.csv").read_text() == "step 1 of the first process"


class Machines:
    """Two processes that share no folder, as on two machines."""

    def __init__(self, warm: WarmPython, workshop: Workshop, folder: Path) -> None:
        self._warm, self._workshop, self._folder = warm, workshop, folder

    def cache(self, number: int) -> Path:
        return self._folder / f"machine-{number}"

    def run(self, *words: object, code: int = 0) -> list[str]:
        """What each process of a run has told."""
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = str(free.getsockname()[1])
        common = {"MASTER_ADDR": "localhost", "MASTER_PORT": port, "GLOO_SOCKET_IFNAME": "lo"}
        common |= {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        common |= {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "1", "LOCAL_RANK": "0"}
        both = [
            self._warm.start(
                ["-m", "fbridge_cli", "finetune", *words],
                cwd=self._workshop.folder,
                RANK=str(number),
                FBRIDGE_CACHE=str(self.cache(number)),
                **common,
            )
            for number in range(2)
        ]
        ended = [each.wait(100) for each in both]
        assert [each.returncode for each in ended] == [code, code], ended
        return [each.stderr for each in ended]


@pytest.mark.slow
@pytest.mark.skipif(not dist.is_gloo_available(), reason="gloo")
def test_two_machines_go_on_from_what_the_store_has(
    warm: WarmPython,
    workshop: Workshop,
    runs: StoreUrl,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The losses are those of one process; a copy that is further on does not count."""
    straight = tmp_path / "straight"
    ran = workshop.run("finetune", *workshop.words(steps=4), "-o", straight)
    assert ran.code == 0, ran.err
    url, machines = runs / "two", Machines(warm, workshop, tmp_path)
    words = workshop.words("-o", url, "--resume", steps=4)
    words[words.index("--batch-size") + 1] = "1"
    machines.run(*words, "--set", "train.keep=3")
    assert checkpoints(url) == {"checkpoint-2", "checkpoint-4"}
    assert not [path for n in range(2) for path in machines.cache(n).glob("stores/training-*/*/*")]

    monkeypatch.setenv("FBRIDGE_CACHE", str(machines.cache(0)))
    StoredRun(url).fetch()  # the first machine has step 4, which had not left
    store = Store(url)
    store.remove([name for name in names(url) if name.startswith("checkpoint-4/")])
    first, second = machines.run("-o", url, "--resume", "--device", "cpu")
    assert f"going on from {url}/checkpoint-2" in first.replace("\n", " ")
    assert not second
    store.download(store.item("metrics.csv"), tmp_path / "metrics.csv")
    losses = [
        {row["step"]: row["loss"] for row in read_curves(path) if "loss" in row}
        for path in (straight / "metrics.csv", tmp_path / "metrics.csv")
    ]
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)
    told = machines.run("-o", url, "--resume", "--device", "cpu", "--checkpoint", 3, code=4)
    assert f"{url}: has no checkpoint of step 3; there are: 2, 4" in told[0].replace("\n", " ")
