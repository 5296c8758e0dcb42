"""What the motion networks are given of a picture: where its things are, and what each shall do."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fbridge.codecs.render import half_size, shape_of
from fbridge.words.lexicon import CAMERA_VERBS, OBJECT_VERBS

OBJECTS = 2
SLOTS = OBJECTS + 1
"""Two objects and the camera."""
VERBS = (*OBJECT_VERBS, *CAMERA_VERBS)
"""In this order: each is an input of the trained networks."""
GEOMETRY = 14
DESCRIPTION = GEOMETRY + len(VERBS) + 1
Deed = tuple[str, float]
"""A verb's name and its speed, 1 as usual."""


def describe(masks: Tensor, deeds: Sequence[Sequence[Deed | None]]) -> Tensor:
    """(B, 48, 3, 1): geometry and deed of each slot; the camera's slot is what no object covers.

    Channels: centre and half sizes in frame units (4), square root of the area (1), share of each
    picture edge that the slot touches (4), the frame's half sizes (2), one-hot slot (3), one-hot
    verb (33), speed (1).

    Args:
        masks: (B, 2, H, W) of the objects; zeros where there is none.
        deeds: of each picture three: of the objects, None where there is none, and of the camera.
    """
    slots = torch.cat([masks, (1 - masks.sum(1, keepdim=True)).clamp_min(0)], 1)
    frame = slots.new_tensor(half_size(*masks.shape[-2:])).expand(len(slots), SLOTS, 2)
    centre, extent = shape_of(slots)
    edges = (slots[..., 0], slots[..., -1], slots[..., 0, :], slots[..., -1, :])
    sides = torch.stack([edge.mean(2) for edge in edges], -1)
    which = torch.eye(SLOTS, device=slots.device).expand(len(slots), SLOTS, SLOTS)
    area = slots.mean((2, 3)).sqrt()[..., None]
    geometry = torch.cat([centre, extent, area, sides, frame, which], -1)
    told = torch.stack([torch.stack([_deed(one) for one in row]) for row in deeds])
    return torch.cat([geometry, told.to(geometry)], -1).mT[..., None]


def _deed(deed: Deed | None) -> Tensor:
    out = torch.zeros(len(VERBS) + 1)
    if deed is not None:
        out[VERBS.index(deed[0])] = 1
        out[-1] = deed[1]
    return out
