"""A whole evaluation: damaged copies of real clips come out in the order of their damage."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fbridge.errors import CheckpointError, ConfigError, DataError
from fbridge.evaluation.comparison import compare_results, sign_flip_p
from fbridge.evaluation.features import networks
from fbridge.evaluation.features.networks import MAKERS, Maker
from fbridge.evaluation.metrics import vbench
from fbridge.evaluation.metrics.catalogue import METRICS, find_metrics
from fbridge.evaluation.metrics.metric import ClipMetric
from fbridge.evaluation.protocol import PROTOCOLS, find_protocol
from fbridge.evaluation.report import tables
from fbridge.evaluation.request import EvalRequest
from fbridge.evaluation.result import Evaluation, parse_evaluation
from fbridge.evaluation.run import evaluate
from tests.evaluation.sides import FRAMES, damaged, write_side

PROTOCOL = find_protocol("tf").with_(frames=FRAMES)
COUNT = 24


def ones(frames: Tensor) -> Tensor:
    """(T, 1) a network that sees no difference."""
    return torch.ones(len(frames), 1)


def colours(frames: Tensor) -> Tensor:
    """(18,) a stand-in for a network: pooled pixels, and how they change."""
    small = torch.nn.functional.adaptive_avg_pool2d(frames.permute(0, 3, 1, 2).float(), 3)
    change = (small[1:] - small[:-1]).abs().mean((0, 1)).flatten()
    return torch.cat([small.mean((0, 1)).flatten() / 64, change])


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sides")
    write_side(folder / "real", range(COUNT), as_frames=True)
    for how in ("noise", "freeze", "shuffle"):
        damaged(folder / how, range(COUNT), how)
    return folder


@pytest.fixture
def run(sides: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Evaluation]]:
    networks.build.cache_clear()
    monkeypatch.setitem(MAKERS, "i3d-tf1", Maker((), "stand-in", lambda _: colours))
    easy = replace(METRICS["fvd"], min_frames=2, networks=())
    monkeypatch.setitem(METRICS, "fvd", easy)

    def made(generated: str, names: str = "fvd,psnr", **other: Any) -> Evaluation:
        reference = other.pop("reference", sides / "real")
        protocol = other.pop("protocol", PROTOCOL)
        request = EvalRequest(
            sides / generated, reference, tuple(names.split(",")), protocol, **other
        )
        found = list(evaluate(request))[-1]
        assert isinstance(found, Evaluation)
        return found

    yield made
    networks.build.cache_clear()


def score(evaluation: Evaluation, name: str) -> Any:
    return next(score for score in evaluation.scores if score.metric == name)


def test_damage_comes_out_in_its_order(run: Callable[..., Evaluation]) -> None:
    found = {how: run(how, "fvd,psnr,pixel-conformity,flicker") for how in
             ("real", "noise", "freeze", "shuffle")}  # fmt: skip
    distance = {how: score(one, "fvd").value for how, one in found.items()}
    assert distance["real"] == pytest.approx(0, abs=1e-6)
    assert distance["real"] < distance["noise"] < min(distance["freeze"], distance["shuffle"])
    fidelity = {how: score(one, "psnr").value for how, one in found.items()}
    assert fidelity["real"] == math.inf
    assert fidelity["noise"] > max(fidelity["freeze"], fidelity["shuffle"])
    moving = {how: score(one, "motion").value for how, one in found.items()}
    assert moving["freeze"] == 0 < moving["real"] < moving["shuffle"]
    still = score(found["freeze"], "pixel-conformity")
    assert still.value == 1.0  # a frozen video is perfect, which is why motion stands beside it
    assert "motion" in [one.metric for one in found["freeze"].scores]


def test_a_network_that_never_met_its_weights_is_named(
    run: Callable[..., Evaluation], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "weights.pth").touch()
    monkeypatch.setenv("FBRIDGE_INCEPTION", str(tmp_path / "weights.pth"))
    monkeypatch.setitem(METRICS, "fvd", replace(METRICS["fvd"], networks=("inception",)))
    found = run("noise")
    named = "equal n only; network checked with random weights only"
    assert score(found, "fvd").warning.endswith(named)
    assert named in json.dumps(found.to_json())
    assert score(found, "psnr").warning == ""


def test_every_number_has_its_company(run: Callable[..., Evaluation]) -> None:
    found = run("noise")
    fvd, psnr = score(found, "fvd"), score(found, "psnr")
    assert fvd.protocol == (
        "fvd[i3d-tf1,stand-in,logits,eps1e-3,T6,s1,store40x40-cc-aa,uint8,head,ddof1]"
    )
    assert (fvd.generated, fvd.reference) == (COUNT, COUNT)
    assert fvd.warning == f"n={COUNT}, under 256: biased, compare at equal n only"
    assert fvd.interval.low < fvd.value < fvd.interval.high
    assert fvd.details["ddof0"] == pytest.approx(fvd.details["ddof1"], rel=0.2)
    assert fvd.details["ddof0"] != fvd.details["ddof1"] == fvd.value
    assert list(fvd.baselines) == [
        "real against real (12 each)", "picture repeated", "frames shuffled",
    ]  # fmt: skip
    assert len(fvd.quartiles) == len(psnr.quartiles) == 4
    assert len(psnr.clips) == COUNT
    assert psnr.baselines.keys() == {"picture repeated", "frames shuffled"}
    assert psnr.value == pytest.approx(sum(psnr.clips.values()) / COUNT)
    motions = [pair.motion for pair in found.pairs]
    assert len(set(motions)) == COUNT
    assert run("noise", baselines=False).scores[0].baselines == {}


def test_dimensions_of_vbench_are_added_up(
    run: Callable[..., Evaluation], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("i2v_subject", "i2v_background", *vbench.QUALITY_WEIGHTS)
    for name in names:
        metric = replace(METRICS[name.replace("_", "-")], networks=(), min_side=1)
        assert isinstance(metric, ClipMetric)
        monkeypatch.setitem(METRICS, metric.name, metric)
        for feature in (*metric.own, *metric.picture):
            monkeypatch.setitem(MAKERS, feature, Maker((), "stand-in", lambda _: ones))
    asked = ",".join(name.replace("_", "-") for name in names)
    found = run("real", asked, baselines=False)
    assert score(found, "motion-smoothness").value == pytest.approx(254 / 255)
    assert score(found, "imaging-quality").value == pytest.approx(0.01)
    assert score(found, "dynamic-degree").value == 0
    told = [note for note in found.notes if note.startswith("VBench-I2V")]
    quality = (2 + (254 / 255 - 0.706) / (0.9975 - 0.706) + 0.1 + 0.01) / 5.5
    assert told == [
        "VBench-I2V i2v score: 1.0000 of 1",
        f"VBench-I2V quality score: {quality:.4f} of 1",
        f"VBench-I2V total score: {(1 + quality) / 2:.4f} of 1",
    ]
    written = json.loads(tables.vbench(found))
    assert list(written) == list(names)
    assert len(written["dynamic_degree"][1]) == COUNT


def test_flow_networks_need_large_frames(
    run: Callable[..., Evaluation], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METRICS, "dynamic-degree", replace(METRICS["dynamic-degree"], networks=()))
    with pytest.raises(DataError, match="128 x 128 pixels or more, these have 40 x 40; leave it"):
        run("real", "dynamic-degree")


def test_a_result_survives_json(run: Callable[..., Evaluation]) -> None:
    found = run("real")
    text = json.dumps(found.to_json(), allow_nan=False)  # the infinite PSNR is text there
    again = parse_evaluation(text, "r.json")
    assert again.to_json() == found.to_json()
    assert score(again, "psnr").value == math.inf
    for wrong, told in (
        ("{", "is no JSON"),
        ("[]", "is no result"),
        ('{"format": 9, "scores": 1}', "has format 9"),
        ('{"format": 1, "scores": 1}', "is damaged"),
    ):
        with pytest.raises(DataError, match=told):
            parse_evaluation(wrong, "r.json")


def test_without_a_reference(run: Callable[..., Evaluation]) -> None:
    found = run("noise", "flicker", reference=None)
    assert (found.reference, score(found, "flicker").baselines) == (None, {})
    with pytest.raises(ConfigError, match="--metric fvd: compares with real videos; name them"):
        run("noise", "fvd", reference=None)
    with pytest.raises(DataError, match="--metric first-frame: 24 of 24 videos have no picture"):
        run("noise", "first-frame", reference=None)
    with pytest.raises(CheckpointError, match=r"needed is clip-vit-base-patch32\.bin"):
        run("noise", "background-consistency", reference=None)


def test_mistakes_have_names(run: Callable[..., Evaluation], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--metric fdv: unknown; did you mean fvd"):
        find_metrics(["fdv"])
    with pytest.raises(ConfigError, match="--protocol stylegan: unknown; did you mean stylegan-v"):
        find_protocol("stylegan")
    with pytest.raises(ConfigError, match="--metric is: needs clips of 16 frames"):
        run("noise", "is")
    with pytest.raises(DataError, match=r"24 of 24 videos cannot be used: .*too short: 6 frames"):
        run("noise", protocol=PROTOCOL.with_(frames=7))
    write_side(tmp_path / "real", range(COUNT, COUNT + 3), as_frames=True)
    with pytest.raises(DataError, match=r"--metric psnr: no video of .* has the name of one of"):
        run("noise", "psnr", reference=tmp_path / "real")
    unpaired = run("noise", "fvd", reference=tmp_path / "real")
    assert (unpaired.reference.clips, score(unpaired, "fvd").quartiles) == (3, ())  # type: ignore[union-attr]


def test_tiling_is_refused(run: Callable[..., Evaluation], tmp_path: Path) -> None:
    write_side(tmp_path / "tiled", range(3), as_frames=True)
    write_side(tmp_path / "more", range(3), as_frames=True)
    for number in range(3):
        (tmp_path / f"more/{number:02d}").rename(tmp_path / f"tiled/{number + 3:02d}")
    with pytest.raises(DataError, match="3 clips are copies of others, such as '03' of '00'"):
        run(str(tmp_path / "tiled"), "fvd")
    once = run(str(tmp_path / "tiled"), "fvd", skip_bad=True)
    assert (once.generated.clips, once.generated.dropped) == (3, {"copies": 3})


def test_subsets_are_drawn_by_seed(run: Callable[..., Evaluation]) -> None:
    some = run("noise", protocol=PROTOCOL.with_(most=10))
    other = run("noise", protocol=PROTOCOL.with_(most=10, seed=1))
    assert some.generated.clips == some.reference.clips == 10  # type: ignore[union-attr]
    assert some.generated.dropped == {"not drawn": 14}
    assert [pair.key for pair in some.pairs] != [pair.key for pair in other.pairs]


def test_protocols_tell_what_changed() -> None:
    own = PROTOCOLS["stylegan-v"]
    assert own.with_(frames=16) is own
    assert own.with_(frames=32).name == "stylegan-v*"
    assert own.with_(most=100, seed=3).name == "stylegan-v"
    assert PROTOCOLS["ucf101-zero-shot"].clip_id == "T16,s3/1,store256x256-cc-aa,uint8,head"
    with pytest.raises(ConfigError, match="--frames 1: must be at least 2"):
        own.with_(frames=1)


def test_comparing_is_paired_and_of_one_protocol(run: Callable[..., Evaluation]) -> None:
    names = "fvd,psnr"
    one, other = run("noise", names), run("freeze", names)
    psnr = next(c for c in compare_results(one, other) if c.metric == "psnr")
    assert psnr.pairs == COUNT
    assert psnr.difference == pytest.approx(psnr.second - psnr.first)
    assert psnr.interval is not None
    assert psnr.interval.high < 0
    assert psnr.p_value is not None
    assert psnr.p_value < 0.001
    best = replace(score(one, "psnr"), clips={"00": math.inf, "01": 30.0, "02": math.inf})
    equal = replace(score(other, "psnr"), clips={"00": math.inf, "01": 20.0, "02": 40.0})
    pair = [replace(side, scores=(found,)) for side, found in ((one, best), (other, equal))]
    assert (compare_results(*pair)[0].pairs, compare_results(*pair)[0].difference) == (3, -70 / 3)
    fvd = next(c for c in compare_results(one, other) if c.metric == "fvd")
    assert (fvd.pairs, fvd.p_value) == (0, None)
    with pytest.raises(DataError, match="measured by different protocols and cannot be compared"):
        compare_results(one, run("freeze", names, protocol=PROTOCOL.with_(size=(24, 24))))
    with pytest.raises(DataError, match=r"FVD is over 24 and 10 clips"):
        compare_results(one, run("freeze", names, protocol=PROTOCOL.with_(most=10)))
    with pytest.raises(DataError, match="have no metric in common"):
        compare_results(one, replace(other, scores=()))


def test_flipping_signs_against_counting() -> None:
    assert sign_flip_p(torch.tensor([1.0, 1.0, 1.0])) == pytest.approx(2 / 8)
    assert sign_flip_p(torch.tensor([1.0, -1.0])) == 1.0
    assert sign_flip_p(torch.ones(40)) == pytest.approx(1 / 10_001)
