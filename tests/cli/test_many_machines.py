"""The lines and files of docs/many-machines.md about training."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from torch.distributed.run import get_args_parser

from fbridge.data.scenes import write_scenes
from fbridge.train.run_files import read_curves
from fbridge_cli.main import build_app, run

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "many-machines.md").read_text(encoding="utf-8")
FILES = ROOT / "examples" / "accelerate"
SHORT = {
    "FBRIDGE_TRAIN_STEPS": "2",
    "FBRIDGE_TRAIN_BATCH_SIZE": "1",
    "FBRIDGE_VALIDATION_ROWS": "0",
    "FBRIDGE_LOG_EVERY": "1",
    "FBRIDGE_LOG_TRACKERS": "[]",
}


@pytest.mark.slow
def test_the_line_of_two_processes_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = re.search(
        r"<!-- not run: tests/cli/test_many_machines.py does -->\n```sh\n(.*)\n", PAGE
    )
    assert found
    assert "--num_processes 2" in found[1]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    write_scenes(tmp_path / "videos", 4, seed=0)
    made = "prepare videos -o latents --codec t2v.safetensors --frames 17 --size 64x64 --workers 1"
    assert run(made.split()) == 0
    scripts = Path(sys.executable).parent
    ended = subprocess.run(
        ["bash", "-c", found[1]],
        env={
            **os.environ,
            **SHORT,
            "PATH": f"{scripts}:{os.environ['PATH']}",
            "PYTHONPATH": f"{ROOT / 'models'}:{ROOT}",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    facts = json.loads((tmp_path / "runs/two/run.json").read_text())
    assert facts["processes"] == 2
    assert facts["identity"]["train.batch_size"] == 2
    assert len(read_curves(tmp_path / "runs/two/metrics.csv")) == 2
    assert ended.stdout.count("model: runs/two/model, after 2 steps") == 1


def check_torchrun(words: list[str]) -> Any:
    """Read a line as torchrun and fbridge do; torchrun's options."""
    options = get_args_parser().parse_args(words)
    assert options.module
    assert options.training_script == "fbridge_cli"
    name, *rest = options.training_script_args
    command: Any = typer.main.get_command(build_app([name]))
    context = command.commands[name].make_context(name, rest)
    assert context.params["resume"]
    assert context.params["out"]
    assert options.nnodes == "1:2"
    assert options.rdzv_backend == "c10d"
    return options


def test_torchruns_line_is_one() -> None:
    (line,) = re.findall(r"^torchrun (.*\\\n.*)$", PAGE, re.M)
    assert check_torchrun(shlex.split(line.replace("\\\n", " "))).rdzv_endpoint == "10.0.0.1:29400"


def test_the_job_of_kubernetes() -> None:
    service, job = yaml.safe_load_all((FILES / "kubernetes-train.yaml").read_text())
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    program, *words = container["command"]
    assert program == "torchrun"
    options = check_torchrun(words)
    name, port = options.rdzv_endpoint.split(":")
    assert name == f"{job['metadata']['name']}-0.{service['metadata']['name']}"
    assert int(port) > 1024
    assert pod["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
    spec = job["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 2, 2)
    assert {mount["name"] for mount in container["volumeMounts"]} == {
        v["name"] for v in pod["volumes"]
    }
    gpus = container["resources"]["limits"]["nvidia.com/gpu"]
    assert options.nproc_per_node == gpus


def test_the_files_of_prepare() -> None:
    job = yaml.safe_load((ROOT / "examples/ray/kuberay-prepare.yaml").read_text())
    program, *words = shlex.split(job["spec"]["entrypoint"])
    assert program == "fbridge"
    command: Any = typer.main.get_command(build_app(words[:1]))
    context = command.commands["prepare"].make_context("prepare", words[1:])
    assert context.params["engine"] == "ray"
    script = str(ROOT / "examples/ray/slurm-prepare.sh")
    subprocess.run(["bash", "-n", script], check=True)


STUBS = {
    "scontrol": 'echo "$@" >> scontrol.log; [ "$1" = show ] && printf "a1\\na2\\n" || true',
    "srun": 'while [[ "$1" == -* ]]; do shift; done; exec "$@"',
    "torchrun": 'printf "%s\\n" "$@" > words.part; mv words.part words.txt; trap "exit 0" TERM\n'
    "for _ in $(seq $STAY); do sleep 0.05; done",
}


@pytest.mark.parametrize("ends_early", [False, True])
def test_the_script_of_slurm(tmp_path: Path, ends_early: bool) -> None:
    script = FILES / "slurm-train.sh"
    for name, text in STUBS.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    given = {"SLURM_JOB_NODELIST": "a[1-2]", "SLURM_JOB_ID": "77", "SLURM_NNODES": "2"}
    given |= {"SLURM_GPUS_ON_NODE": "8", "STAY": "1200" if ends_early else "0"}
    process = subprocess.Popen(
        ["bash", str(script), "--base", "t2v.safetensors", "--data", "my latents", "-o", "runs/x"],
        env={**os.environ, **given, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        cwd=tmp_path,
    )
    words = tmp_path / "words.txt"
    until = time.monotonic() + 60
    while not words.exists() and time.monotonic() < until:
        time.sleep(0.02)
    if ends_early:
        process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    options = check_torchrun(words.read_text().splitlines())
    assert options.rdzv_endpoint == "a1:10077"
    assert options.nproc_per_node == "8"
    assert "my latents" in options.training_script_args
    asked = (tmp_path / "scontrol.log").read_text().splitlines()
    assert asked == ["show hostnames a[1-2]", *(["requeue 77"] if ends_early else [])]
