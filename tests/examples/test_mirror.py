"""What the motion networks are trained on, as a mirror shows it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from examples.embedded.scenes.bodies import draw_aspect, draw_scene
from examples.embedded.scenes.mirror import mirrored, mirrored_description
from examples.embedded.train_motion import MotionLoss, condition_of
from fbridge.codecs.render import ANGLE, CHANNELS, LOG_SCALE, TX, TY, unmove
from fbridge.codecs.scenes.describe import GEOMETRY, SLOTS, VERBS

SWAPPED = {
    "left": "right", "right": "left", "roll left": "roll right", "roll right": "roll left",
    "pan left": "pan right", "pan right": "pan left",
    "rotate clockwise": "rotate counterclockwise", "rotate counterclockwise": "rotate clockwise",
}  # fmt: skip


def test_a_description_is_that_of_the_mirrored_scene() -> None:
    rng = np.random.default_rng(0)
    cells = draw_aspect(rng)
    scenes = [draw_scene(rng, cells) for _ in range(60)]
    flipped = [
        replace(
            scene,
            masks=scene.masks[..., ::-1].copy(),
            deeds=tuple(deed and (SWAPPED.get(deed[0], deed[0]), deed[1]) for deed in scene.deeds),
        )
        for scene in scenes
    ]
    told = condition_of(scenes).image_latents
    assert torch.allclose(
        mirrored_description(told), condition_of(flipped).image_latents, atol=1e-5
    )


def test_a_motion_moves_mirrored_points_to_mirrored_places() -> None:
    motion = torch.zeros(3, CHANNELS).double()
    motion[:, [TX, TY, LOG_SCALE, ANGLE]] = torch.rand(3, 4).double()
    points, flip = torch.rand(1, 5, 2).double(), torch.tensor([-1.0, 1.0]).double()
    centre = torch.tensor([0.3, -0.2]).double()
    there = unmove(points, motion, centre)
    back = unmove(points * flip, mirrored(motion), centre * flip)
    assert torch.allclose(there * flip, back)


def test_half_of_a_batch_mirrors_the_other() -> None:
    loss = MotionLoss([[1.0] * SLOTS] * CHANNELS, None)
    clean, condition, weights = loss.batch(3)
    told = condition.image_latents.chunk(2)
    assert torch.allclose(mirrored_description(told[0]), told[1])
    shakes = told[0][:, GEOMETRY + VERBS.index("shake"), :, 0] > 0
    one, other = clean[..., 0].permute(0, 3, 1, 2).chunk(2)
    assert shakes.any()
    assert torch.equal(one[shakes], other[shakes])
    assert torch.allclose(mirrored(one)[~shakes], other[~shakes], atol=1e-6)
    assert torch.equal(*weights.chunk(2))
