"""What a metric is: the features it needs, and the function that makes a number of them.

A `SetMetric` is a distance between the features of two sets of clips, or a score of one set; a
`ClipMetric` scores each clip, and the mean of the scores is the metric.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from fbridge.evaluation.protocol import Protocol
from fbridge.evaluation.result import Better, Interval
from fbridge.weights import ENTRIES

Needs = Literal["reference", "pair", "picture", "caption"]
"""What a metric needs besides the generated clips: real clips, the real clip with the same key, the
picture the clip was made from (without one, the first frame of its pair), its caption."""


@dataclass(frozen=True)
class MetricValue:
    """The outcome of a set metric.

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
    """The features of one clip for a `ClipMetric`, each a mapping by feature name.

    Attributes:
        own: of the clip.
        pair: of the clip compared with its real clip.
        picture: of the picture.
        with_picture: of the clip compared with the picture.
        caption: the clip's caption, or "".
    """

    own: Mapping[str, Tensor]
    pair: Mapping[str, Tensor]
    picture: Mapping[str, Tensor]
    with_picture: Mapping[str, Tensor]
    caption: str


@dataclass(frozen=True)
class Metric:
    """The fields that both kinds of metric have.

    Attributes:
        name: on the command line.
        label: in print.
        about: what it measures, in a line for --list.
        better: which direction is better.
        needs: inputs besides the generated clips.
        networks: names of the weights it needs, as in `fbridge weights`.
        min_frames: least number of frames of a clip.
        exact_frames: whether clips must have exactly `min_frames`.
        min_side: least width and height of a frame in pixels.
        settings: what decides the value besides the protocol, for its id: layer, eps, kernel.
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
    """One number for a set of clips, or for two sets.

    Attributes:
        feature: name of the feature that is computed of every clip, given the protocol.
        measure: from the features of all generated clips and of all real ones (empty without a
            reference) to the value with interval and details.
        quick: the same value alone, for baselines and quarters.
    """

    feature: Callable[[Protocol], str] = field(kw_only=True)
    measure: Callable[[Tensor, Tensor, Protocol], MetricValue] = field(kw_only=True)
    quick: Callable[[Tensor, Tensor, Protocol], float] = field(kw_only=True)


@dataclass(frozen=True)
class ClipMetric(Metric):
    """One number for each clip.

    Attributes:
        own: names of features of the clip.
        pair: of the clip compared with its real clip.
        picture: of its picture.
        with_picture: of the clip compared with its picture.
        score: from all these features to the clip's number.
        ceiling: no clip's number counts as more in a mean, so that infinite ones can be averaged.
    """

    own: tuple[str, ...] = ()
    pair: tuple[str, ...] = ()
    picture: tuple[str, ...] = ()
    with_picture: tuple[str, ...] = ()
    score: Callable[[MetricInputs], float] = field(kw_only=True)
    ceiling: float = math.inf

    def capped(self, scores: Tensor) -> Tensor:
        """The numbers of clips (N,) as they are averaged; unchanged if all are infinite."""
        return scores if bool(scores.isinf().all()) else scores.clamp(max=self.ceiling)

    def pool(self, scores: Tensor) -> float:
        """The metric of clips with these numbers (N,): their mean without those that are NaN."""
        return float(torch.nanmean(self.capped(scores)))
