"""The noise of fvd-comparison's example, and what the genuine I3D makes of it.

`python -m tests.evaluation.networks.i3d.noise` measures all 256 clips, which takes minutes, and
writes their features if their distance is the published one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from fbridge.evaluation.distances.frechet import frechet_distance
from fbridge.evaluation.networks.i3d.network import load_i3d

FEATURES = Path(__file__).parents[3] / "fixtures" / "i3d" / "noise.safetensors"
"""(128, 400) features of each side, under its seed."""
PUBLISHED = 10.1381
SEEDS = (1, 2)


def noise(seed: int, clips: int = 128) -> Iterator[Tensor]:
    """The first clips (1, 3, 16, 224, 224) of a side."""
    random = np.random.RandomState(seed)
    for _ in range(clips):
        clip = torch.from_numpy(random.rand(16, 224, 224, 3).astype(np.float32))
        yield clip.movedim(-1, 0)[None]


if __name__ == "__main__":
    network = load_i3d()
    sides = {str(seed): torch.cat([network(clip) for clip in noise(seed)]) for seed in SEEDS}
    assert abs(frechet_distance(sides["1"], sides["2"]) - PUBLISHED) < 1e-3
    FEATURES.parent.mkdir(parents=True, exist_ok=True)
    save_file(sides, FEATURES)
