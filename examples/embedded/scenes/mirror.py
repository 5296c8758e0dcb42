"""Left and right exchanged: of motions, and of what the motion networks are given."""

from __future__ import annotations

import torch
from torch import Tensor

from fbridge.codecs.render import ANGLE, BEND_X, BEND_Y, CHANNELS, SHEAR, TX
from fbridge.codecs.scenes.describe import GEOMETRY, VERBS

_OTHER = {"left": "right", "right": "left", "clockwise": "counterclockwise"}
_OTHER["counterclockwise"] = "clockwise"


def mirrored(motion: Tensor) -> Tensor:
    """Motions (..., 26), or noise of their shape, as a mirror shows them."""
    sign, order = torch.ones(CHANNELS), torch.arange(CHANNELS)
    for channels in (BEND_X, BEND_Y):
        order[channels] = order[channels].view(3, 3).flip(1).flatten()
    for flipped in (TX, ANGLE, SHEAR, BEND_X):
        sign[flipped] = -1
    return motion[..., order.to(motion.device)] * sign.to(motion)


def mirrored_description(told: Tensor) -> Tensor:
    """Descriptions (B, 48, 3, 1), see `fbridge.codecs.scenes.describe`, of mirrored scenes."""
    order = torch.arange(told.shape[1])
    order[[5, 6]] = order[[6, 5]]  # what touches the left and the right edge
    for number, verb in enumerate(VERBS):
        other = " ".join(_OTHER.get(word, word) for word in verb.split())
        order[GEOMETRY + number] = GEOMETRY + VERBS.index(other)
    out = told[:, order.to(told.device)].clone()
    out[:, 0] *= -1  # the centre's x
    return out
