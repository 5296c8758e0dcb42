"""What came out of the four lines, against loose bounds: look.py star.mp4 fvd.json."""

from __future__ import annotations

import sys
from pathlib import Path

from fbridge.data.scene_judge import judge
from fbridge.data.video_files import read_video
from fbridge.evaluation.result import parse_evaluation

MOST = 1.5
"""FVD of the run's clips, as a share of that of their pictures, repeated; of 20 clips it varies."""


def main(video: Path, evaluation: Path) -> None:
    """Raise AssertionError where the star is gone or stays, or FVD is far above that of stills."""
    seen = judge(read_video(video).frames, "red", "star", "left")
    print(f"{video.name}: {seen}")
    assert seen.colour
    assert seen.motion
    scores = parse_evaluation(evaluation.read_text(), evaluation.name).scores
    (score,) = (one for one in scores if one.metric == "fvd")
    still = score.baselines["picture repeated"]
    print(f"{score.label} {score.value:.1f}, of the repeated picture {still:.1f}")
    assert score.value < MOST * still


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
