"""--engine and --ray-address: what is refused, and what doctor says of a cluster."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.prepare.sets import film, tree

SHAPE = ("--codec", "t2v.safetensors", "--frames", 5, "--size", "32x32", "--device", "cpu")


def test_options_of_ray_without_ray_are_refused(workshop: Any, tmp_path: Path) -> None:
    film(tmp_path / "videos" / "a.mp4", 1)
    words = ("prepare", tmp_path / "videos", "-o", tmp_path / "set")
    ran = workshop.run(*words, "--engine", "local", "--ray-address", "head:6379")
    assert ran.code == 2
    assert "--ray-address head:6379: is about a Ray cluster; add --engine ray" in ran.err
    ran = workshop.run(*words, "--gpu-share", "0.5")
    assert "--gpu-share 0.5: is about a Ray cluster" in ran.err
    ran = workshop.run(*words, "--engine", "rey")
    assert ran.code == 2
    assert "--engine rey: unknown, did you mean" in ran.err
    ran = workshop.run("doctor", "--ray-address", "head:6379")
    assert "--ray-address head:6379: is about a Ray cluster" in ran.err
    assert not (tmp_path / "set").exists()


def test_several_processes_do_not_drive_one_cluster(
    workshop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film(tmp_path / "videos" / "a.mp4", 1)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    ran = workshop.run(
        "prepare", tmp_path / "videos", "-o", tmp_path / "set", "--engine", "ray", *SHAPE
    )
    assert ran.code == 2
    assert "--engine ray: is driven by one process, not by 2" in ran.err


def test_without_ray_the_package_is_named(
    workshop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    film(tmp_path / "videos" / "a.mp4", 1)
    ran = workshop.run(
        "prepare", tmp_path / "videos", "-o", tmp_path / "set", "--engine", "ray", *SHAPE
    )
    assert ran.code == 4
    assert "--engine ray needs the package ray; pip install 'fbridge[ray]'" in ran.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--ray-address", "head:6379"), "--ray-address head:6379: is about a Ray cluster; add"),
        (("--gpu-share", 0.5), "--gpu-share 0.5: is about a Ray cluster; add --engine ray"),
        (("--engine", "ray", "--gpu-share", 2), "--gpu-share 2: must be from 0.01 to 1"),
        (("--engine", "ray", "--device", "mps"), "--device mps: with --engine ray it is one of"),
    ],
)
@pytest.mark.parametrize(
    "command", [("generate", "cat.png", "-p", "x"), ("eval", ".", "-m", "fvd")]
)
def test_generate_and_eval_refuse_the_same(
    fbridge: Any, tmp_path: Path, command: tuple[str, ...], words: tuple[object, ...], told: str
) -> None:
    ran = fbridge(*command, *words)
    assert (ran.code, ran.err.startswith(f"error: {told}")) == (2, True), ran.err
    assert [path.name for path in tmp_path.iterdir()] == ["cat.png"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (("generate", "cat.png", "-p", "x"), "shares out many videos, and cat.png is one picture;"),
        (("generate", "--from", "cat.mp4"), "is for several videos, and --from makes one; drop it"),
        (("eval", "-m", "psnr"), "measures videos that are there; name them: GENERATED"),
        (("eval", "--list"), "is for measuring videos; drop it"),
    ],
)
def test_ray_is_refused_where_it_would_do_nothing(
    fbridge: Any, line: tuple[str, ...], told: str
) -> None:
    ran = fbridge(*line, "--engine", "ray")
    assert ran.code == 2
    assert ran.err.startswith(f"error: --engine ray: {told}"), ran.err


def test_generate_and_eval_name_the_package(
    fbridge: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    for number in range(2):
        film(tmp_path / "videos" / f"{number}.mp4", number)
    for line in (
        ("generate", ".", "-p", "a cat jumps"),
        ("eval", "videos", "-m", "flicker", "--frames", 4),
    ):
        ran = fbridge(*line, "--engine", "ray")
        assert ran.code == 4
        assert "error: --engine ray needs the package ray; pip install 'fbridge[ray]'" in ran.err


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_a_line_with_ray_makes_what_it_makes_without(workshop: Any, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    for number in range(3):
        film(tmp_path / "videos" / f"{number}.mp4", number)
    made: list[dict[str, str]] = []
    for words in ((), ("--engine", "ray", "--ray-address", "local")):
        out = tmp_path / f"set{len(made)}"
        ran = workshop.run("prepare", tmp_path / "videos", "-o", out, *SHAPE, *words, "--json")
        assert ran.code == 0, ran.err
        assert json.loads(ran.out)["finished"]
        made.append(tree(out))
    assert "Ray started here: 1 node" in ran.err
    assert made[0] == made[1]
    ran = workshop.run("doctor", "--engine", "ray", "--ray-address", "local", "--json")
    found = json.loads(ran.out)["cluster"]
    assert found["nodes"][0]["cpus"] == (os.cpu_count() or 1)
    assert found["mismatches"] == []
