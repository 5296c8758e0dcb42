"""Training that is interrupted, killed, starved of room, fed with NaN, or spread: real processes.

Each run of 20 steps must end as the straight one does, bit for bit.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from fbridge.data.latents.format import hash_file, read_index, write_index
from fbridge.train.checkpoints.reading import checkpoints, newest
from fbridge.train.run_files import read_curves
from tests.warm import Running, WarmPython

STEPS = 20
pytestmark = pytest.mark.slow

DRIVER = '''
"""fbridge with a mishap: python driver.py MISHAP ARGS..."""
import os, resource, signal, sys
from pathlib import Path

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
mishap, where = sys.argv[1].split(":")
sys.argv[1:] = sys.argv[2:]

def at_step(act):
    """Once a step has been reported."""
    from fbridge.train.run_files import Curves
    add = Curves.add
    def told(self, step, values):
        add(self, step, values)
        if step == int(where) and "lr" in values:
            act()
    Curves.add = told

def in_save(act):
    """Once the checkpoint of a step is nearly whole: at the rename of a file or of its folder."""
    rename = Path.rename
    def renamed(self, target):
        act(self, Path(target), rename)
        return rename(self, target)
    Path.rename = renamed

def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)

match mishap:
    case "term":
        at_step(lambda: os.kill(os.getpid(), signal.SIGTERM))
    case "int":
        at_step(lambda: os.kill(os.getpid(), signal.SIGINT))
    case "group":  # Ctrl-C reaches the readers too, and a launcher passes it on
        def both():
            os.killpg(0, signal.SIGTERM)
            os.killpg(0, signal.SIGINT)
        at_step(both)
    case "gone-0" | "gone-1":  # one process of two, before its step
        if os.environ["RANK"] == mishap[-1]:
            import fbridge.train.loop as loop
            take = loop._Step.take
            def taken(self, *rest):
                if self.step == int(where):
                    kill()
                return take(self, *rest)
            loop._Step.take = taken
    case "kill":
        def act(own, target, rename):
            if target.name == "checkpoint-" + where:
                kill()
        in_save(act)
    case "killed-behind":
        def act(own, target, rename):
            if target.name == "checkpoint-" + where:
                rename(own, target)
                kill()
        in_save(act)
    case "torn":
        import fbridge.train.checkpoints.checkpoint as module
        write = module.write_tensors
        def written(path, *rest):
            told = write(path, *rest)
            if "checkpoint-" + where + "." in str(path) and path.name.startswith("optimizer"):
                os.truncate(path, 100)
                kill()
            return told
        module.write_tensors = written
    case "full":
        def full():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        at_step(full)
    case "nan":
        import torch
        import fbridge.train.losses as losses
        call = losses.BridgeTraining.__call__
        seen = []
        def spoilt(self, network, batch):
            losses = call(self, network, batch)
            seen.append(1)
            if len(seen) == int(where):
                losses = losses.clone()
                losses[1] = losses[1] * float("nan")
            return losses
        # validation calls the task as well: count those of training alone
        def training_only(self, network, batch):
            return (spoilt if torch.is_grad_enabled() else call)(self, network, batch)
        losses.BridgeTraining.__call__ = training_only

from fbridge_cli.main import main
main()
'''


class Shop:
    """Runs the driver in the workshop."""

    def __init__(self, workshop: Any, folder: Path, warm: WarmPython) -> None:
        self.workshop = workshop
        self.warm = warm
        self.folder = folder
        (folder / "driver.py").write_text(DRIVER)

    def words(self, out: str, *more: object) -> list[str]:
        usual: list[object] = ["-o", out]
        for change in ("train.checkpoint_every=5", "train.keep=9", "validation.every=10"):
            usual += ["--set", change]
        return ["finetune", *self.workshop.words(*usual, *more, steps=STEPS)]

    def go_on(self, run: str, *args: object) -> str:
        """Resume a run in this process; what was said."""
        words = ("finetune", "-o", run, "--resume", "--device", "cpu", *args)
        ran = self.workshop.run(*words, where=self.folder)
        assert ran.code == 0, ran.err
        return str(ran.err)

    def run(self, mishap: str, *args: object) -> subprocess.CompletedProcess[str]:
        return self.warm.run(["driver.py", mishap, *args], cwd=self.folder)

    def launch(self, *argv: object, world: int = 2) -> list[Running]:
        """As many processes of one run."""
        return self.warm.launch(argv, world, cwd=self.folder)

    def shared(self, *words: object, world: int = 2) -> list[subprocess.CompletedProcess[str]]:
        """A command line in several processes, which must succeed."""
        ended = [each.wait() for each in self.launch("-m", "fbridge_cli", *words, world=world)]
        assert [each.returncode for each in ended] == [0] * world, "".join(e.stderr for e in ended)
        return ended

    def same(self, run: str, step: int = STEPS) -> None:
        """Assert that a run's checkpoint is the straight run's, byte for byte."""
        for name in ("network", "ema", "optimizer"):
            file = f"checkpoint-{step}/{name}.safetensors"
            own, straight = self.folder / run / file, self.folder / "straight" / file
            assert own.read_bytes() == straight.read_bytes(), file
        losses = [
            [(row["step"], row["loss"]) for row in read_curves(self.folder / name / "metrics.csv")
             if "loss" in row]
            for name in (run, "straight")
        ]  # fmt: skip
        assert losses[0] == losses[1]
        assert (self.folder / run / "model/model_index.json").is_file()


@pytest.fixture(scope="module")
def shop(workshop: Any, tmp_path_factory: pytest.TempPathFactory, warm: WarmPython) -> Shop:
    """With a straight run of 20 steps."""
    shop = Shop(workshop, tmp_path_factory.mktemp("hard"), warm)
    ran = workshop.run(*shop.words("straight"), where=shop.folder)
    assert ran.code == 0, ran.err
    return shop


def held(shop: Shop, run: str) -> list[int]:
    return [checkpoint.step for checkpoint in checkpoints(shop.folder / run)]


@pytest.mark.parametrize(
    ("mishap", "workers"), [("term", 0), ("int", 0), ("group", 1)], ids=["term", "int", "group"]
)
def test_a_request_to_end_is_a_checkpoint(shop: Shop, mishap: str, workers: int) -> None:
    words = shop.words(mishap, "--set", f"train.workers={workers}")
    ended = shop.run(f"{mishap}:7", *words)
    assert ended.returncode == 130, ended.stderr
    assert ended.stderr.splitlines()[-1] == (
        f"interrupted at step 8 of 20; saved {mishap}/checkpoint-8 and {mishap}/report.html; "
        f"to go on: fbridge finetune -o {mishap} --resume"
    )
    assert "Traceback" not in ended.stderr
    assert held(shop, mishap) == [5, 8]
    assert f"going on from {mishap}/checkpoint-8" in shop.go_on(mishap)
    shop.same(mishap)


@pytest.mark.parametrize(
    ("mishap", "left"),
    [("kill", [5]), ("killed-behind", [5, 10]), ("torn", [5])],
    ids=["before-the-rename", "behind-the-rename", "torn-file"],
)
def test_a_kill_in_a_save_costs_no_more_than_that_save(
    shop: Shop, mishap: str, left: list[int]
) -> None:
    ended = shop.run(f"{mishap}:10", *shop.words(mishap))
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert held(shop, mishap) == left
    assert f"going on from {mishap}/checkpoint-{left[-1]}" in shop.go_on(mishap)
    shop.same(mishap)
    assert not list((shop.folder / mishap).glob(".*"))


def test_a_full_disk_leaves_the_last_good_checkpoint(shop: Shop) -> None:
    ended = shop.run("full:7", *shop.words("full", "--set", "validation.every=100"))
    assert ended.returncode == 4, ended.stderr
    lines = ended.stderr.splitlines()
    assert lines[-1].startswith("error: full/checkpoint-10/")
    assert lines[-1].endswith("; the last good checkpoint is full/checkpoint-5")
    assert lines[-2] == (
        "full/checkpoint-5 is whole; once there is room, to go on: "
        "fbridge finetune -o full --resume"
    )
    assert "Traceback" not in ended.stderr
    assert held(shop, "full") == [5]
    assert not list((shop.folder / "full").glob(".*"))
    shop.go_on("full")
    last = newest(shop.folder / "full")
    straight = newest(shop.folder / "straight")
    assert last is not None
    assert straight is not None
    assert last.files["network.safetensors"] == straight.files["network.safetensors"]


def test_a_loss_that_is_no_number_stops_the_run(shop: Shop) -> None:
    ended = shop.run("nan:12", *shop.words("nan"))
    assert ended.returncode == 1, ended.stderr
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("error: step 12: the loss is nan; the worst clips are 0")
    assert " at 0.00 s (nan), 0" in last
    assert last.endswith(
        "; the last good checkpoint is nan/checkpoint-10: go on from it with --resume "
        "--accept-changes and a lower train.lr, or look at these clips"
    )
    assert "Traceback" not in ended.stderr
    assert held(shop, "nan") == [5, 10]
    told = shop.go_on("nan", "--accept-changes", "--lr", "5e-5")
    assert "changed: train.lr was 0.0001 and is 5e-05" in told


def test_data_that_is_no_number_is_named(shop: Shop, tmp_path: Path) -> None:
    """One clip is NaN in its latents: it alone is called so."""
    ran = shop.workshop.run(
        "prepare", "clips", "-o", tmp_path / "latents", "--codec", shop.workshop.base, "--size",
        "64x64", "--frames", "8", "--device", "cpu", "--workers", "1",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    for shard in (tmp_path / "latents/shards").rglob("*.safetensors"):
        tensors = load_file(shard)
        for tensor in tensors.values():
            if tensor.is_floating_point():
                tensor[3] = float("nan")
        save_file(tensors, shard, _metadata(shard))
    _renew_hashes(tmp_path / "latents")
    words = shop.words("nan-data", "--data", tmp_path / "latents")
    ran = shop.workshop.run(*words, where=shop.folder)
    assert ran.code == 1, ran.err
    last = ran.err.splitlines()[-1]
    assert re.match(r"error: step \d+: the loss is nan; the worst clips are \d+\.mp4 at ", last)
    assert last.count("(nan)") == 1
    assert "go on from it with" in last or "there is no checkpoint yet: begin again with" in last


def _renew_hashes(data: Path) -> None:
    """Hash the shards of a data set again, as if they had been written so."""
    index = read_index(data)
    table = data / index["files"]["shards"]["path"]
    records = [json.loads(line) for line in table.read_text().splitlines()]
    for record in records:
        path = data / record["path"]
        record.update(bytes=path.stat().st_size, sha256=hash_file(path))
    table.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    index["files"]["shards"].update(bytes=table.stat().st_size, sha256=hash_file(table))
    write_index(data, index)


def _metadata(shard: Path) -> dict[str, str]:
    from safetensors import safe_open

    with safe_open(shard, "pt") as file:
        return dict(file.metadata() or {})


def losses(shop: Shop, run: str) -> dict[int, float]:
    rows = read_curves(shop.folder / run / "metrics.csv")
    return {int(row["step"]): row["loss"] for row in rows if "loss" in row}


def test_two_processes_are_one_with_the_double_batch(shop: Shop) -> None:
    words = shop.words("one", "--batch-size", 4, "--steps", 6)
    assert shop.workshop.run(*words, where=shop.folder).code == 0
    first, second = shop.shared(*shop.words("two", "--batch-size", 2, "--steps", 6))
    assert first.stdout.count("model: two/model, after 6 steps") == 1
    assert first.stderr.count("configuration: ") == 1
    assert first.stderr.count("step 6  held-out loss") == 1
    assert (second.stdout, second.stderr) == ("", "")
    curves = [
        {(row["step"], name): row[name] for row in read_curves(shop.folder / run / "metrics.csv")
         for name in ("loss", "held_out", "gradient_norm") if name in row}
        for run in ("one", "two")
    ]  # fmt: skip
    assert len(curves[0]) == 2 * 6 + 2
    assert curves[1] == pytest.approx(curves[0], abs=1e-5)
    _others_go_on(shop)


def _others_go_on(shop: Shop) -> None:
    """One process with the double batch size, then three, whose pieces are unequal."""
    told = shop.go_on("two", "--batch-size", 4, "--steps", 8)  # as many clips a step as of two
    assert "going on from two/checkpoint-6" in told
    assert "changed" not in told
    assert "instead of" not in told
    three, *_ = shop.shared("finetune", "-o", "two", "--resume", "--steps", 10, world=3)
    assert "3 processes instead of 1: a batch stays the same 4 clips" in three.stderr
    shop.go_on("one", "--steps", 10)
    assert list(losses(shop, "one")) == list(range(1, 11))
    assert losses(shop, "two") == pytest.approx(losses(shop, "one"), abs=1e-5)
    words = ["-m", "fbridge_cli", "finetune", "-o", "two", "--resume", "--steps", 12]
    alone = {"WORLD_SIZE": "5", "RANK": "3", "LOCAL_RANK": "3", "MASTER_ADDR": "localhost"}
    ended = shop.warm.run(words, cwd=shop.folder, timeout=60, MASTER_PORT="1", **alone)
    assert ended.returncode == 2  # at once, whether or not the others are there
    assert "batches of 4 clips cannot be shared by 5 processes" in ended.stderr


@pytest.mark.parametrize("lost", [1, 0])
def test_a_run_that_lost_a_process_goes_on_with_one(shop: Shop, lost: int) -> None:
    """Two processes, one killed; then one, then two again: all as the straight run."""
    run = f"lost-{lost}"
    words = shop.words(run, "--batch-size", 1)
    both = shop.launch("driver.py", f"gone-{lost}:7", *words)
    ended = [each.wait(60) for each in both]
    assert ended[lost].returncode == -signal.SIGKILL
    survivor = ended[1 - lost]
    assert survivor.returncode == 1, survivor.stderr
    assert survivor.stderr.splitlines()[-1] == (
        f"error: {'' if lost else 'process 1: '}another process of this run has ended, or cannot "
        f"be reached (the connection broke); the last checkpoint is {run}/checkpoint-5; the "
        "same line with --resume goes on, with fewer processes, too"
    )
    assert "Traceback" not in survivor.stderr
    told = shop.go_on(run, *words[1:], "--steps", 10)
    assert f"going on from {run}/checkpoint-5" in told
    assert (
        "1 process instead of 2: a batch stays the same 2 clips, and each process takes 1" in told
    )
    assert "changed" not in told
    shop.shared("finetune", "-o", run, "--resume", "--steps", STEPS)
    straight = losses(shop, "straight")
    assert len(straight) == STEPS
    assert losses(shop, run) == pytest.approx(straight, abs=1e-5)


def test_errors_of_two_processes_are_said_once(shop: Shop) -> None:
    def said(*words: str) -> str:
        first, second = shop.launch("-m", "fbridge_cli", *words)
        ended = first.wait()
        os.kill(second.pid, signal.SIGTERM)  # as launchers do
        other = second.wait()
        assert ended.returncode > 0
        assert other.returncode == 128 + signal.SIGTERM
        return ended.stderr + other.stderr

    told = said(*shop.words("wrong", "--base", "embedded"))
    assert told.count("its codec is another one than the data set's") == 1
    assert "interrupted" not in told
    told = said(*(word for word in shop.words("unnamed") if word not in {"-o", "unnamed"}))
    assert told.count("error: several processes must mean the same run") == 1
    assert told.count("error: ") == 1
