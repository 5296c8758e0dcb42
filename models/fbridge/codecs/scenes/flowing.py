"""What flows in a picture: regions that move, weather and steam drawn over it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fbridge.codecs.matting import resize
from fbridge.codecs.scenes.closer import overlap
from fbridge.codecs.scenes.currents import FALLING, STYLES
from fbridge.codecs.scenes.finder import Finder
from fbridge.codecs.scenes.flow import Flow, draw_flow, plan_flow
from fbridge.codecs.scenes.hair import ON_HEADS, find_hair
from fbridge.codecs.scenes.nouns import is_plural, not_found
from fbridge.codecs.scenes.particles import overlay
from fbridge.codecs.scenes.plumes import PLUMES
from fbridge.codecs.scenes.regions import (
    ANIMALS,
    OF_FALLS,
    OF_THE_HINT,
    OF_WATER,
    THAT_SWIM,
    find_region,
)
from fbridge.words.flows import FlowAct
from fbridge.words.vocabulary import flow_nouns

_DRAWN_OVER = ("rain", "snow")
_LED = (*OF_THE_HINT, "fire", "leaves", "smoke", "steam")
"""Kinds whose region a mask for the noun helps to find; skies and waters are too large for one."""

_TRIAL, _FRAMES, _FAINT = 96, 32, 0.05
"""Longer side and frames of a trial, and the share that must differ for a motion to be seen."""
_WHOLE = 0.5
"""Overlap with the main thing from which on a mask for hair is that of its whole person."""
_PART, _ALIKE = 0.5, 0.6
"""The main thing is what flows if it covers more than `_PART` of the region; its leaves are what is
meant if `_ALIKE` of it looks like leaves."""
_SWIMS, _SWUM_ON = 0.95, 0.08
"""Probability from which on a bird that swims is one, and that of water around it. Four on water
have 1.0, and of ten birds in the air or on land nine have 0.08 to 0.94."""


@dataclass
class Flowing:
    """The flows of one picture.

    Attributes:
        acts: what the prompt asks for.
        regions: (H, W) of each act that moves a region; None of one that is drawn over.
        sources: (H, W) of each act that rises from something; else None.
        remarks: one line for each act that finds nothing of its kind in the picture.
    """

    acts: tuple[FlowAct, ...] = ()
    regions: tuple[Tensor | None, ...] = ()
    sources: tuple[Tensor | None, ...] = ()
    remarks: tuple[str, ...] = ()
    _planned: list[Flow] = field(default_factory=list)
    _total: int = 0

    @classmethod
    def find(
        cls,
        picture: Tensor,
        acts: Sequence[FlowAct],
        finder: Finder,
        still: Tensor | None = None,
    ) -> Flowing:
        """Where in a picture (3, H, W) the acts take place, by a finder of things in it.

        Things that stay still as the prompt says, (H, W), are not taken along.
        """
        kept: list[tuple[FlowAct, Tensor | None, Tensor | None]] = []
        remarks = []
        for act in acts:
            if act.kind in _DRAWN_OVER:
                kept.append((act, None, None))
                continue
            region = _region(picture, act, finder)
            if still is not None:
                region = region * (1 - still)
            if act.kind in PLUMES and (act.source or not region.any()):
                kept.append((act, None, _source(picture, act, finder)))
            elif region.any():
                kept.append((act, region, None))
                if STYLES[act.kind].travel and _shows(picture, region, act) < _FAINT:
                    remarks.append(
                        f"{(act.noun or act.kind)!r} is so even that its motion hardly shows"
                    )
            else:
                noun = act.noun or act.kind
                pronoun = "they are" if is_plural(noun) else "it is"
                remarks.append(f"{not_found(noun)}; {pronoun} left out")
        acts_, regions, sources = zip(*kept, strict=True) if kept else ((), (), ())
        return cls(acts_, regions, sources, tuple(remarks))

    def plan(self, ground: Tensor, total: int) -> None:
        """Get ready to draw a video of `total` frames before a background (3, H, W)."""
        self._total = total
        self._planned = [
            plan_flow(
                ground, region, act.kind, total, seed, noun=act.noun, speed=act.speed, way=act.way
            )
            for seed, (act, region) in enumerate(zip(self.acts, self.regions, strict=True))
            if region is not None and act.kind in STYLES
        ]

    def ground(self, frames: range) -> Tensor | None:
        """(F, 3, H, W) the background of some frames; None where nothing in it moves."""
        if not self._planned:
            return None
        first, *others = self._planned
        video = draw_flow(first, frames)
        for flow in others:
            video = torch.lerp(video, draw_flow(flow, frames), _share(flow))
        return video

    def over(self, drawn: Tensor, frames: range) -> Tensor:
        """Frames (F, 3, H, W), bytes, with weather, steam and smoke drawn over them."""
        for seed, (act, region, source) in enumerate(
            zip(self.acts, self.regions, self.sources, strict=True)
        ):
            if region is None:
                video = overlay(drawn / 255, act.kind, frames, self._total, seed, source)
                drawn = (video * 255).round().to(torch.uint8)
        return drawn


def _shows(picture: Tensor, region: Tensor, act: FlowAct) -> float:
    """The share of a region that differs by 3 % or more when it has flowed for a while."""
    scale = _TRIAL / max(picture.shape)
    size = (max(8, round(picture.shape[1] * scale)), max(8, round(picture.shape[2] * scale)))
    small, inside = resize(picture[None], size)[0], resize(region[None, None], size)[0, 0]
    flow = plan_flow(small, inside, act.kind, _FRAMES, 0, noun=act.noun)
    change = (draw_flow(flow, range(_FRAMES // 2, _FRAMES // 2 + 1))[0] - small).abs().amax(0)
    return float(((change > 0.03) * inside).sum() / inside.sum().clamp_min(1e-6))


def _region(picture: Tensor, act: FlowAct, finder: Finder) -> Tensor:
    """(H, W) of what flows: neither the main thing, unless it is that, nor what is not there."""
    hint = _hint(picture, act, finder) if act.kind in _LED else None
    falls = act.noun in FALLING
    scene = _waters(finder, falls=falls) if act.kind in ("water", "waves") else None
    region = find_region(picture, act.kind, act.noun, hint, scene=scene)
    if act.kind in (*OF_THE_HINT, *PLUMES) or not region.any():
        return region
    thing = finder.fine("")  # a boat does not flow with its river
    both = float((region * thing).sum())
    green = act.kind == "leaves" and not lives(thing, finder)  # and no chameleon
    if green and both > _ALIKE * float(thing.sum()):
        return region * thing  # a tree, and not the meadow that it stands in
    if both > _PART * float(region.sum()) and (green or act.kind != "leaves"):
        return region
    return find_region(picture, act.kind, act.noun, hint, thing, scene=scene)


def _waters(finder: Finder, *, falls: bool) -> Tensor:
    """(h, w) probability that a place shows what goes with water, or with water that falls.

    Near birds that swim, all places may.
    """
    swims = float(finder.shown(torch.tensor(THAT_SWIM)).amax())
    waters = torch.tensor((*OF_WATER, *OF_FALLS) if falls else OF_WATER)
    return finder.shown(waters).clamp_min(_SWUM_ON if swims > _SWIMS else 0.0)


def _hint(picture: Tensor, act: FlowAct, finder: Finder) -> Tensor | None:
    """(H, W) mask of what an act names, where it can be told from the main thing."""
    thing = finder.fine("") if ON_HEADS & set(act.noun.split()) else None
    if thing is None or lives(thing, finder):
        return finder.seen(act.noun)
    hair = find_hair(picture, thing)
    seen = finder.seen(act.noun) if hair is None else None
    return hair if seen is None or overlap(seen, thing) > _WHOLE else seen


def lives(thing: Tensor, finder: Finder) -> bool:
    """Whether the main thing (H, W) is an animal."""
    seen = finder.shown(torch.arange(ANIMALS))
    inside = resize(thing[None, None], (seen.shape[0], seen.shape[1]))[0, 0]
    return float((seen * inside).sum()) > 0.3 * float(inside.sum())


def _source(picture: Tensor, act: FlowAct, finder: Finder) -> Tensor:
    """(H, W) what steam or smoke rises from."""
    if flow_nouns().get(act.source) == "fire":
        fire = find_region(picture, "fire", act.source)
        if fire.any():
            return fire
    return finder.fine(act.source)


def _share(flow: Flow) -> Tensor:
    """(H, W) where a flow is drawn."""
    share = torch.zeros(flow.background.shape[1:])
    share[flow.box] = (flow.region > 0).float()
    return share
