"""What flows in a picture: regions that move, weather and steam drawn over it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fbridge.codecs.scenes.currents import STYLES
from fbridge.codecs.scenes.flow import Flow, draw_flow, plan_flow
from fbridge.codecs.scenes.particles import overlay
from fbridge.codecs.scenes.plumes import PLUMES
from fbridge.codecs.scenes.regions import OF_THE_HINT, find_region
from fbridge.words.flows import FlowAct

_DRAWN_OVER = ("rain", "snow")
_LED = (*OF_THE_HINT, "fire", "leaves", "smoke", "steam")
"""Kinds whose region a mask for the noun helps to find; skies and waters are too large for one."""

_PART = 0.5
"""Share of a region that the main thing may cover; one that covers more is what flows."""


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
        cls, picture: Tensor, acts: Sequence[FlowAct], mask: Callable[[str], Tensor]
    ) -> Flowing:
        """Where in a picture (3, H, W) the acts take place; `mask` is that of a noun (H, W)."""
        kept: list[tuple[FlowAct, Tensor | None, Tensor | None]] = []
        remarks = []
        for act in acts:
            if act.kind in _DRAWN_OVER:
                kept.append((act, None, None))
                continue
            hint = mask(act.noun) if act.kind in _LED else None
            region = find_region(picture, act.kind, act.noun, hint)
            if act.kind not in _LED and region.any():
                thing = mask("")  # a boat does not flow with its river
                if float((region * thing).sum() / region.sum()) < _PART:
                    region = find_region(picture, act.kind, act.noun, hint, thing)
            if act.kind in PLUMES and (act.source or not region.any()):
                kept.append((act, None, mask(act.source)))
            elif region.any():
                kept.append((act, region, None))
            else:
                remarks.append(f"no {act.noun or act.kind} is found in the picture; it is left out")
        acts_, regions, sources = zip(*kept, strict=True) if kept else ((), (), ())
        return cls(acts_, regions, sources, tuple(remarks))

    def plan(self, ground: Tensor, total: int) -> None:
        """Get ready to draw a video of `total` frames before a background (3, H, W)."""
        self._total = total
        self._planned = [
            plan_flow(ground, region, act.kind, total, seed, noun=act.noun, speed=act.speed)
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


def _share(flow: Flow) -> Tensor:
    """(H, W) where a flow is drawn."""
    share = torch.zeros(flow.background.shape[1:])
    share[flow.box] = (flow.region > 0).float()
    return share
