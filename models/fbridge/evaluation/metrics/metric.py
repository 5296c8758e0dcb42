"""What a metric is: the features it is made of, and how they become a number.

Metrics are of two sorts. A `SetMetric` is a distance between the features of two sets of clips, or
a score of one; a `ClipMetric` gives every clip a number, and their mean is the metric.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from fbridge.evaluation.protocol import Protocol
from fbridge.evaluation.result import Better, Interval
from fbridge.weights import ENTRIES

Needs = Literal["reference", "pair", "picture", "caption"]
"""What a metric needs beside the generated clips: real ones, the real one with the same key, the
picture it was made from (the pair's first frame, where none is known), its words."""


@dataclass(frozen=True)
class MetricValue:
    """What a set metric gives.

    Attributes:
        value: the number.
        interval: None where there are too few clips.
        details: further numbers by name.
    """

    value: float
    interval: Interval | None = None
    details: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class MetricInputs:
    """The features of one clip, for a metric of clips.

    Attributes:
        own: of the clip, by feature.
        pair: of the clip and its real counterpart together, by feature.
        picture: of the picture, by feature.
        with_picture: of the clip and the picture together, by feature.
        caption: the clip's words.
    """

    own: Mapping[str, Tensor]
    pair: Mapping[str, Tensor]
    picture: Mapping[str, Tensor]
    with_picture: Mapping[str, Tensor]
    caption: str


@dataclass(frozen=True)
class Metric:
    """What both sorts share.

    Attributes:
        name: on the command line.
        label: in print.
        about: what it measures, in a line for --list.
        better: which way.
        needs: what it needs beside the generated clips.
        networks: names of the weights it needs, as in `fbridge weights`.
        min_frames: frames a clip must have.
        exact_frames: whether it must have no more.
        min_side: pixels that a frame must have at least, in width and height.
        settings: what decides it beside the protocol, for its id: layer, eps, kernel.
    """

    name: str
    label: str
    about: str
    better: Better
    needs: frozenset[Needs] = frozenset()
    networks: tuple[str, ...] = ()
    min_frames: int = 2
    exact_frames: bool = False
    min_side: int = 1
    settings: str = ""

    @property
    def checked_with(self) -> str:
        """What its networks were compared with their sources on.

        "published weights" if that holds for all of them, else "random weights"; empty for a metric
        without networks.
        """
        found = {ENTRIES[name].checked_with for name in self.networks}
        return "random weights" if "random weights" in found else "".join(found)


@dataclass(frozen=True)
class SetMetric(Metric):
    """A number of a set, or of two.

    Attributes:
        feature: what is computed of every clip, which may depend on the protocol.
        measure: features of all generated clips and of all real ones (empty without) to a number.
        quick: likewise, the number alone: for baselines and quarters.
    """

    feature: Callable[[Protocol], str] = field(kw_only=True)
    measure: Callable[[Tensor, Tensor, Protocol], MetricValue] = field(kw_only=True)
    quick: Callable[[Tensor, Tensor, Protocol], float] = field(kw_only=True)


@dataclass(frozen=True)
class ClipMetric(Metric):
    """A number of each clip.

    Attributes:
        own: features of the clip.
        pair: features of the clip and its real counterpart.
        picture: features of its picture.
        with_picture: features of the clip and its picture.
        score: all of them to the number.
        pool: the numbers of all clips to the metric; the mean unless told.
    """

    own: tuple[str, ...] = ()
    pair: tuple[str, ...] = ()
    picture: tuple[str, ...] = ()
    with_picture: tuple[str, ...] = ()
    score: Callable[[MetricInputs], float] = field(kw_only=True)
    pool: Callable[[Tensor], float] = lambda scores: float(torch.nanmean(scores))
