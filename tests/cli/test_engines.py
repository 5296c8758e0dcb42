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
