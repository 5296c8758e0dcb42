"""VBench-I2V's formulas on numbers that can be checked by hand."""

from __future__ import annotations

import pytest
import torch

from fbridge.evaluation.metrics import vbench


def unit(*cosines: float) -> torch.Tensor:
    """Rows whose cosine with the first axis is as told."""
    return torch.tensor([[c, (1 - c * c) ** 0.5] for c in cosines], dtype=torch.float64)


def test_i2v_similarity_mixes_best_mean_and_least() -> None:
    picture = torch.tensor([1.0, 0.0, 0.0, 0.0])
    frames = torch.eye(4, dtype=torch.float64)[:3]
    frames[1] = torch.tensor([0.6, 0.8, 0, 0])
    frames[2] = torch.tensor([0, 0.6, 0.8, 0])
    between = [0.6, 0.48]
    wanted = 0.4 * 1 + 0.3 * sum(between) / 2 + 0.3 * min(between)
    assert vbench.i2v_similarity(picture, frames) == pytest.approx(wanted)


def test_consistency_is_to_the_last_and_the_first() -> None:
    frames = unit(1.0, 0.8, -0.5)
    last = 0.8 * -0.5 + 0.6 * 0.75**0.5  # cosine of the second and the third
    wanted = ((0.8 + 0.8) / 2 + (max(0.0, last) + 0.0) / 2) / 2
    assert vbench.consistency(frames) == pytest.approx(wanted)
    assert vbench.consistency(unit(0.3, 0.3, 0.3)) == pytest.approx(1.0)


def test_smooth_is_what_can_be_guessed() -> None:
    assert vbench.motion_smoothness(torch.zeros(4)) == 1
    assert vbench.motion_smoothness(torch.tensor([0.0, 102.0])) == pytest.approx(0.8)


def test_the_strongest_flow_is_told_for_a_side_of_256() -> None:
    flows = torch.zeros(2, 2, 128, 160)
    flows[0, 0, :8], flows[0, 1, :8] = 3, -4  # a sixteenth of the frame
    flows[1, 0, 0] = 5  # a 128th
    places = int(128 * 160 * 0.05)
    assert vbench.strongest(flows, 128).tolist() == pytest.approx([10, 160 * 10 / places])


@pytest.mark.parametrize(("moving", "dynamic"), [(3, False), (4, True), (15, True)])
def test_a_quarter_of_the_frames_must_move(*, moving: int, dynamic: bool) -> None:
    strong = torch.zeros(15)
    strong[:moving] = 6.2
    assert vbench.is_dynamic(strong) == dynamic
    assert not vbench.is_dynamic(torch.where(strong > 0, 5.8, 0.0))


def test_totals_are_weighted_means_of_what_was_normalised() -> None:
    assert vbench.normalised("motion_smoothness", 0.7060) == pytest.approx(0)
    assert vbench.normalised("i2v_background", 1.0) == 1
    assert vbench.normalised("aesthetic_quality", 0.5) == 0.5
    best = dict.fromkeys((*vbench.I2V_WEIGHTS, *vbench.QUALITY_WEIGHTS), 1.0)
    best["motion_smoothness"] = 0.9975
    whole = vbench.totals(best)
    assert whole == {
        name: pytest.approx(1) for name in ("i2v_score", "quality_score", "total_score")
    }
    best["dynamic_degree"] = 0.0
    assert vbench.totals(best)["quality_score"] == pytest.approx(5 / 5.5)
    assert vbench.totals({"i2v_subject": 1.0}) == {}


def test_files_are_as_vbench_has_them() -> None:
    found = vbench.result_file({"i2v_subject": [("a-0.mp4", 0.5), ("b-0.mp4", 1.0)]})
    assert found == {
        "i2v_subject": [
            0.75,
            [
                {"video_path": "a-0.mp4", "video_results": 0.5},
                {"video_path": "b-0.mp4", "video_results": 1.0},
            ],
        ]
    }
    assert vbench.video_name("a cat/dog", 2) == "a cat_dog-2.mp4"
