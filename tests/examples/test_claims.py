"""The table of claims: its plan can be built, its work is cached, its page follows from results."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from examples.claims import page, results
from examples.claims.graph import Graph
from examples.claims.nodes import Node, in_order
from examples.claims.plan import Plan, read_plan
from examples.claims.run import run
from examples.claims.work import make
from fbridge.config import load_config
from fbridge.config.values import parse_change

SCALES = ("smoke", "full", "gpu")


def graph(plan: Plan) -> Graph:
    return Graph(plan, base_hash="0" * 64, motion_hash="1" * 64)


def pretend(node: Node, folder: Path) -> float:
    """Make a node without a network; every score is its arm's and seed's own."""
    place = node.place(folder)
    if node.kind in ("truth", "motion-truth"):
        count = node.settings["scenes"]
        place.mkdir()
        told = {name: [0.1 + n for n in range(count)] for name in ("motion", "take")}
        told |= {"still": [9.0 + n for n in range(count)], "things": [1] * count}
        (place / "truth.json").write_text(json.dumps(told))
    elif node.kind in ("sample", "motion-sample"):
        truth = next(need for need in node.needs if need.kind.endswith("truth"))
        names = results.PER_SCENE if node.kind == "sample" else ("energy", "spread", "motion")
        own = {name: [int(node.key, 16) % 97 + n for n in range(truth.settings["scenes"])]
               for name in names}  # fmt: skip
        place.write_text(json.dumps({**own, "seconds_per_draw": 1.0, "commit": "abc"}))
    elif node.kind in ("finetune", "train-prior", "motion"):
        (place / "model").mkdir(parents=True)
    else:
        place.write_text("made")
    return 1.0


@pytest.mark.parametrize("scale", SCALES)
def test_every_row_can_be_built(scale: str) -> None:
    plan = read_plan(scale)
    assert [row.number for row in plan.rows] == [7, 2, 3, 5, 4, 8, 1]
    for row in plan.rows:
        nodes = list(in_order(graph(plan).row(row)))
        assert len({node.label for node in nodes}) == len(nodes)
        position = {node.key: at for at, node in enumerate(nodes)}
        for node in nodes:
            assert all(position[need.key] < position[node.key] for need in node.needs)
        names = {arm.name for arm in row.arms}
        for one in row.comparisons if scale != "smoke" else ():
            assert {one.arm, one.control} <= names
            assert row.arm(one.arm).scenes == row.arm(one.control).scenes


def test_what_the_models_are_given_are_keys_of_the_configuration() -> None:
    plan = read_plan("smoke")
    lines = {arm.model.name: arm.model.line for row in plan.rows for arm in row.arms}
    for line in lines.values():
        given = [word for before, word in pairwise(line) if before == "--set"]
        load_config(options=dict(parse_change(word) for word in given))


def test_a_changed_setting_is_another_node_and_so_is_all_that_needs_it() -> None:
    plan = read_plan("smoke")
    longer = replace(plan, scale=replace(plan.scale, steps=3))
    arm = plan.row(3).arm("prior")
    first, other = graph(plan).sample(arm, 0), graph(longer).sample(arm, 0)
    assert first.key != other.key
    assert first.needed("truth").key == other.needed("truth").key
    assert first.needed("finetune").key != other.needed("finetune").key
    again = graph(read_plan("smoke")).sample(arm, 0)
    assert again.key == first.key
    assert first.key != graph(plan).sample(arm, 1).key


def test_rows_share_what_is_equal() -> None:
    plan = read_plan("full")
    used = [{node.key for node in in_order(graph(plan).row(row))} for row in plan.rows]
    aligned = graph(plan).sample(plan.row(2).arm("aligned"), 0).key
    assert sum(aligned in keys for keys in used) == 5


def test_a_killed_run_continues_and_an_adopted_training_is_not_made_again(tmp_path: Path) -> None:
    plan, made = read_plan("smoke"), list[str]()
    whole = graph(plan)
    adopted = whole.train(plan.row(2).arm("twin").model, 0)
    older = tmp_path / "older"
    (older / "model").mkdir(parents=True)
    (tmp_path / "work").mkdir()
    adopted.place(tmp_path / "work").symlink_to(older)

    def maker(node: Node, folder: Path) -> float:
        if len(made) == 5:
            raise KeyboardInterrupt
        made.append(node.key)
        return pretend(node, folder)

    told: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        run(whole, [2], tmp_path / "work", tmp_path / "results", maker=maker, tell=told.append)
    before, made = list(made), []
    run(whole, [2], tmp_path / "work", tmp_path / "results", maker=_counted(made), tell=told.append)
    assert len(before) == 5
    assert not {adopted.key, *before} & set(made)
    assert "to make, about" in told[3]
    again: list[str] = []
    run(
        whole, [2], tmp_path / "work", tmp_path / "results", maker=_counted(again), tell=told.append
    )
    assert again == []
    row = results.read(tmp_path / "results")[2]
    assert len(row["arms"]["aligned"]["energy"]) == len(plan.scale.seeds)


def _counted(made: list[str]) -> Any:
    def maker(node: Node, folder: Path) -> float:
        made.append(node.key)
        return pretend(node, folder)

    return maker


def test_a_training_that_fails_leaves_the_others(tmp_path: Path) -> None:
    plan = read_plan("smoke")
    broken = graph(plan).train(plan.row(2).arm("unaligned").model, 1)

    def maker(node: Node, folder: Path) -> float:
        if node.key == broken.key:
            raise RuntimeError("diverged")
        return pretend(node, folder)

    with pytest.raises(RuntimeError, match="2 pieces"):
        run(graph(plan), [2], tmp_path / "w", tmp_path / "r", maker=maker, tell=lambda _: None)
    stored = results.read(tmp_path / "r")[2]["arms"]
    assert set(stored) == {arm.name for arm in plan.row(2).arms} - {"unaligned"}


def test_pieces_made_side_by_side_store_the_same(tmp_path: Path) -> None:
    plan = read_plan("smoke")
    stored = []
    for jobs in (1, 2):
        work, kept = tmp_path / f"w{jobs}", tmp_path / f"r{jobs}"
        run(graph(plan), [2, 3], work, kept, jobs=jobs, maker=pretend, tell=lambda _: None)
        stored.append(results.read(kept))
    one, two = stored
    assert "2 pieces of work side by side" in two[2].pop("machine")
    assert one[2].pop("machine")
    for arm in one[2]["arms"].values():
        del arm["seconds_per_draw"]  # which tell nothing of pieces side by side
    assert one[2] == two[2]


def test_some_arms_of_a_row_can_be_made_first(tmp_path: Path) -> None:
    plan, made = read_plan("smoke"), list[str]()
    arms, work, stored = ["twin"], tmp_path / "work", tmp_path / "results"
    run(graph(plan), [2], work, stored, arms=arms, maker=_counted(made), tell=print)
    assert list(results.read(stored)[2]["arms"]) == arms
    assert len(made) == 6  # clips, truth, and a training and a sample of each seed


def test_a_training_goes_on_from_its_checkpoint_or_begins_anew(tmp_path: Path) -> None:
    plan, lines = read_plan("smoke"), list[Sequence[str]]()
    node = graph(plan).train(plan.row(3).arm("twin-prior").model, 1)
    place = node.place(tmp_path)
    place.mkdir()
    (place / "config.toml").touch()
    make(node, tmp_path, lines.append)
    assert not place.exists()
    (place / "checkpoint-1").mkdir(parents=True)
    make(node, tmp_path, lines.append)
    assert "--resume" not in lines[0]
    assert "--resume" in lines[1]
    assert lines[0][lines[0].index("--prior") + 1].endswith(node.needed("train-prior").label)
    assert lines[0][lines[0].index("--objective") + 1] == "diffusion"


def test_a_student_is_taught_by_its_own_seeds_bridge(tmp_path: Path) -> None:
    plan, lines = read_plan("smoke"), list[Sequence[str]]()
    whole = graph(plan)
    node = whole.train(plan.row(8).arm("student, 4 calls").model, 1)
    assert node.needed("finetune").key == whole.train(plan.row(2).arm("aligned").model, 1).key
    make(node, tmp_path, lines.append)
    assert lines[0][lines[0].index("--teacher") + 1].endswith(node.needed("finetune").label)
    assert lines[0][lines[0].index("--objective") + 1] == "distill"
    assert "--base" not in lines[0]


def test_the_page_has_what_is_stored_and_nothing_else(tmp_path: Path) -> None:
    plan = read_plan("full")
    run(graph(plan), [2], tmp_path / "work", tmp_path / "r", maker=pretend, tell=lambda _: None)
    made = page.pages(tmp_path / "r")
    assert "## Row 2" in made["claims.md"]
    assert "## Row 6" in made["claims.md"]
    assert "## Row 7" not in made["claims.md"]
    assert "claims/row-2.svg" in made
    assert made == page.pages(tmp_path / "r")
    shutil.rmtree(tmp_path / "r")
    assert list(page.pages(tmp_path / "r")) == ["claims.md"]


def test_a_row_of_motions_tells_what_there_is_of_them(tmp_path: Path) -> None:
    run(graph(read_plan("full")), [1], tmp_path / "work", tmp_path / "r", maker=pretend,
        tell=lambda _: None)  # fmt: skip
    made = page.pages(tmp_path / "r")["claims.md"]
    row = made[made.index("## Row 1") :]
    assert "128 scenes, 4 draws of each" in row
    assert "800 training steps, 24 steps of the sampler" in row
    assert "|  | energy score (seeds) | skill | spread | motion | seconds a draw |" in row
    assert "prior_steps" not in results.read(tmp_path / "r")[1]["settings"]


def test_the_committed_page_is_that_of_the_committed_results() -> None:
    made = page.pages(results.FOLDER)
    for name, text in made.items():
        assert (page.DOCS / name).read_text(encoding="utf-8") == text, (
            "python -m examples.claims page"
        )
    assert {f"claims/{one.name}" for one in page.DOCS.glob("claims/*")} == set(made) - {"claims.md"}


def test_the_committed_results_are_those_of_the_plan() -> None:
    plan = read_plan("full")
    for number, row in results.read(results.FOLDER).items():
        assert row["scale"] == "full"
        for name, arm in row["arms"].items():
            own = plan.row(number).arm(name)
            assert arm["line"] == list(own.model.line)
            assert arm["sample"] == dict(own.sample)
            assert not ("fvd" in arm and own.sample), "FVD is of the usual sampling"
            assert len(arm["energy"]) == len(own.seeds)
            assert {len(scores) for scores in arm["energy"]} == {own.scenes}
