"""Where the camera goes: what it zooms in on, and to which side it pans for a thing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fbridge.codecs.render import CHANNELS, LOG_SCALE, TX, TY, half_size, shape_of
from fbridge.codecs.scenes.describe import OBJECTS, SLOTS
from fbridge.codecs.scenes.flowing import lives
from fbridge.codecs.scenes.hair import face_at
from fbridge.words.views import FACE
from fbridge.words.which import places_of

if TYPE_CHECKING:
    from fbridge.codecs.scenes.finder import Finder
    from fbridge.words.intent import Act

TOP = 0.2
"""Share of a person that is above: the head, where no face is found."""
_SIDES = {
    "left": (-1.0, 0.0), "right": (1.0, 0.0), "top": (0.0, -1.0), "bottom": (0.0, 1.0),
    "middle": (0.0, 0.0),
}  # fmt: skip


def aim_of(camera: Act, finder: Finder) -> tuple[Act, Tensor]:
    """The camera's motion, and the point (2,) in frame units that it goes to; the middle without.

    A pan to a thing goes to the side where that is seen. It is said of the thing where it is not.
    """
    height, width = finder.picture.shape[-2:]
    half = torch.tensor(half_size(height, width))
    if not camera.goal:
        return camera, torch.zeros(2)
    if places := places_of(camera.goal):
        aim = half * torch.tensor([_SIDES[place] for place in places]).sum(0).clamp(-1, 1)
    else:
        aim = _middle_of(camera.goal, finder)
    if camera.verb == "zoom in":
        return camera, aim
    x, y = (aim / half).tolist()
    verb = "pan right" if x > 0 else "pan left"
    if abs(y) > abs(x):
        verb = "tilt down" if y > 0 else "tilt up"
    return replace(camera, verb=verb), torch.zeros(2)


def _middle_of(goal: str, finder: Finder) -> Tensor:
    """(2,) where a thing or a face is, in frame units; of an animal's face where all of it is."""
    face, _, noun = goal.partition(" of ") if goal.startswith(FACE) else ("", "", goal)
    mask = finder.thing(noun)
    whole = shape_of(mask[None])[0][0]
    if not face or (not finder.is_person(noun) if noun else lives(mask, finder)):
        return whole
    at = face_at(finder.picture, mask) if (mask > 0.5).any() else None
    if at is None:
        place = f"the top of the {noun or 'main thing'}"
        finder.remarks.append(f"no face is found in the picture; the camera goes to {place}")
        above = mask.sum(1).cumsum(0) <= TOP * mask.sum()
        return shape_of((mask * above[:, None])[None])[0][0]
    return (2 * torch.tensor(at) - 1) * torch.tensor(half_size(*finder.picture.shape[-2:]))


def towards(motion: Tensor, aim: Tensor, size: tuple[int, int]) -> Tensor:
    """(F, 3, 26) how the camera moves besides so that a point comes to the middle as it zooms in.

    It goes as far as nothing beyond the picture is seen: magnified by s, the picture (H, W) reaches
    beyond the frame by s - 1 of its half sides. So what is at the edge comes nearer to the middle.

    Args:
        motion: (F, 3, 26), of which the camera's magnification counts.
        aim: (2,) the point in the picture, in frame units.
        size: (H, W) of the picture.
    """
    out = torch.zeros(len(motion), SLOTS, CHANNELS).to(motion)
    grown = motion[:, OBJECTS, LOG_SCALE].exp() - 1
    most = float(grown.max())
    if not aim.any() or most <= 0:
        return out
    half = torch.tensor(half_size(*size))
    middle = (aim * (1 + 1 / most)).maximum(-half).minimum(half).to(motion)
    out[:, OBJECTS, [TX, TY]] = -grown.clamp_min(0)[:, None] * middle
    return out
