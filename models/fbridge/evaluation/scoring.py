"""From features to scores, each with its interval, its baselines and its quarters of motion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fbridge.evaluation.features.cache import FeatureCache
from fbridge.evaluation.features.measure import FeatureRequest, FrameSource, read_feature
from fbridge.evaluation.features.networks import Setup
from fbridge.evaluation.intervals import mean_interval
from fbridge.evaluation.metrics.metric import ClipMetric, Metric, MetricInputs, SetMetric
from fbridge.evaluation.plan import BASELINES, MOTION, Plan
from fbridge.evaluation.result import Score
from fbridge.weights.files import UNVERIFIED

FEW = 256
"""Clips under which a distance between sets says more of their number than of their looks."""
RANDOM_ONLY = "network checked with random weights only"
"""Warning of a score whose network was never compared with its source on the published weights."""
_QUARTERS = 4
_LEAST_IN_A_QUARTER = 4


@dataclass(frozen=True)
class Scorer:
    """Reads features of a plan.

    Attributes:
        plan: what was measured.
        setup, identities, cache: as of `fbridge.evaluation.features.measure.measure`.
    """

    plan: Plan
    setup: Setup
    identities: Mapping[str, str]
    cache: FeatureCache

    def score(self, metric: Metric) -> Score:
        """One metric of the generated clips."""
        if isinstance(metric, SetMetric):
            return self._of_sets(metric)
        assert isinstance(metric, ClipMetric)
        return self._of_clips(metric)

    def motion(self) -> dict[str, float]:
        """Mean flow of each real clip of a pair, in pixels a frame."""
        if not self.plan.selection.paired:
            return {}
        return {key: float(self._row(MOTION, self.plan.real(key)).mean()) for key in self._keys()}

    def _of_sets(self, metric: SetMetric) -> Score:
        selection, protocol = self.plan.selection, self.plan.protocol
        feature = metric.feature(protocol)
        own = self._rows(feature, [self.plan.own(key) for key in selection.generated.clips])
        needed = "reference" in metric.needs
        real = self._real_rows(feature, "") if needed or self.plan.variants else own[:0]
        against = real if needed else real[:0]
        measured = metric.measure(own, against, protocol)
        numbers = len(own), len(against)
        return Score(
            metric=metric.name,
            label=metric.label,
            protocol=self._id(metric, [feature]),
            value=measured.value,
            better=metric.better,
            interval=measured.interval,
            generated=numbers[0],
            reference=numbers[1],
            warning=self._warning(metric, [feature], _too_few(*filter(None, numbers))),
            details=measured.details,
            baselines=self._set_baselines(metric, feature, real),
            quartiles=self._set_quarters(metric, own, against),
        )

    def _set_baselines(self, metric: SetMetric, feature: str, real: Tensor) -> dict[str, float]:
        if self.plan.selection.reference is None or not self.plan.variants:
            return {}
        protocol = self.plan.protocol
        against = "reference" in metric.needs
        found: dict[str, float] = {}
        if not against:
            found["real"] = metric.quick(real, real[:0], protocol)
        elif len(real) >= 4:
            half = len(real) // 2
            order = torch.randperm(
                len(real), generator=torch.Generator().manual_seed(protocol.seed)
            )
            first, second = real[order[:half]], real[order[half : 2 * half]]
            found[f"real against real ({half} each)"] = metric.quick(first, second, protocol)
        for variant in self.plan.variants:
            rows = self._real_rows(feature, variant)
            found[BASELINES[variant]] = metric.quick(rows, real if against else real[:0], protocol)
        return found

    def _set_quarters(self, metric: SetMetric, own: Tensor, real: Tensor) -> tuple[float, ...]:
        quarters = self._quarters()
        if not quarters:
            return ()
        keys = {key: place for place, key in enumerate(self._keys())}
        found = []
        for quarter in quarters:
            places = [keys[key] for key in quarter]
            some = real[places] if len(real) else real
            found.append(metric.quick(own[places], some, self.plan.protocol))
        return tuple(found)

    def _of_clips(self, metric: ClipMetric) -> Score:
        scores = {key: metric.score(self._inputs(metric, key, self.plan.own(key), real=False))
                  for key in self._keys()}  # fmt: skip
        values = torch.tensor(list(scores.values()), dtype=torch.float64)
        quarters = tuple(
            metric.pool(torch.tensor([scores[key] for key in quarter], dtype=torch.float64))
            for quarter in self._quarters()
        )
        needs_real = "pair" in metric.needs
        features = [*metric.own, *metric.pair, *metric.picture, *metric.with_picture]
        return Score(
            metric=metric.name,
            label=metric.label,
            protocol=self._id(metric, features),
            value=metric.pool(values),
            better=metric.better,
            interval=mean_interval(values[values.isfinite()]),
            generated=len(values),
            reference=len(values) if needs_real else 0,
            warning=self._warning(metric, features),
            details=_spread(values),
            baselines=self._clip_baselines(metric),
            quartiles=quarters,
            clips=scores,
        )

    def _clip_baselines(self, metric: ClipMetric) -> dict[str, float]:
        selection = self.plan.selection
        if selection.reference is None or not self.plan.variants:
            return {}
        found = {}
        variants = list(self.plan.variants) if metric.pair else ["", *self.plan.variants]
        for variant in variants:
            scores = [
                metric.score(self._inputs(metric, key, self.plan.real(key, variant), real=True))
                for key in selection.reference.clips
            ]
            found[BASELINES.get(variant, "real")] = metric.pool(
                torch.tensor(scores, dtype=torch.float64)
            )
        return found

    def _inputs(
        self, metric: ClipMetric, key: str, source: FrameSource, *, real: bool
    ) -> MetricInputs:
        picture = self.plan.picture(key, real=real)
        return MetricInputs(
            own={name: self._row(name, source) for name in metric.own},
            pair={name: self._together(name, source, self.plan.real(key)) for name in metric.pair},
            picture={
                name: self._row(name, picture) for name in metric.picture if picture is not None
            },
            with_picture={
                name: self._together(name, source, picture)
                for name in metric.with_picture
                if picture is not None
            },
            caption=self.plan.selection.captions.get(key, ""),
        )

    def _quarters(self) -> list[list[str]]:
        """Keys from least to most motion of the real clip, in four parts; none of few clips."""
        motion = self.motion()
        if len(motion) < _QUARTERS * _LEAST_IN_A_QUARTER:
            return []
        order = sorted(motion, key=lambda key: (motion[key], key))
        edges = [len(order) * part // _QUARTERS for part in range(_QUARTERS + 1)]
        return [order[edges[part] : edges[part + 1]] for part in range(_QUARTERS)]

    def _keys(self) -> list[str]:
        return list(self.plan.selection.generated.clips)

    def _real_rows(self, feature: str, variant: str) -> Tensor:
        reference = self.plan.selection.reference
        if reference is None:
            return torch.empty(0)
        return self._rows(feature, [self.plan.real(key, variant) for key in reference.clips])

    def _rows(self, feature: str, sources: Sequence[FrameSource]) -> Tensor:
        return torch.stack([self._row(feature, source) for source in sources])

    def _row(self, feature: str, source: FrameSource) -> Tensor:
        return read_feature(
            FeatureRequest(feature, (source,)), self.setup, self.identities, self.cache
        )

    def _together(self, feature: str, source: FrameSource, other: FrameSource) -> Tensor:
        return read_feature(
            FeatureRequest(feature, (source, other)), self.setup, self.identities, self.cache
        )

    def _warning(self, metric: Metric, features: Sequence[str], few: str = "") -> str:
        """All that speaks against trusting a number, in one line; empty if nothing does."""
        unverified = any(UNVERIFIED in self.identities[name] for name in features)
        reasons = [
            few,
            "weights unverified: no hash of them is published" if unverified else "",
            RANDOM_ONLY if metric.checked_with == "random weights" else "",
        ]
        return "; ".join(filter(None, reasons))

    def _id(self, metric: Metric, features: Sequence[str]) -> str:
        """All that decides a number, in one string."""
        size = "x".join(map(str, self.setup.size))
        clips = self.plan.protocol.clip_id.replace("storeown", f"store{size}")
        if self.plan.selection.paired:
            clips = clips.replace(f"random{self.plan.protocol.seed}", "head")
        made = [self.identities[name].replace(" ", ",") for name in dict.fromkeys(features)]
        parts = [*made, *([metric.settings] if metric.settings else []), clips]
        if isinstance(metric, SetMetric) and "reference" in metric.needs:
            parts.append(f"ddof{self.plan.protocol.ddof}")
        return f"{metric.name}[{','.join(parts)}]"


def _too_few(*numbers: int) -> str:
    least = min(numbers)
    return f"n={least}, under {FEW}: biased, compare at equal n only" if least < FEW else ""


def _spread(values: Tensor) -> dict[str, float]:
    finite = values[values.isfinite()]
    found: dict[str, float] = {}
    if len(finite) > 1:
        found["std"] = float(finite.std())
        found["median"] = float(finite.median())
    if len(finite) < len(values):
        found["not finite"] = float(len(values) - len(finite))
    return found
