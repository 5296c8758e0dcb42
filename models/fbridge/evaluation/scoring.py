"""From features to scores, each with its interval, baselines and quarters of motion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
"""Number of clips below which the bias of a distance between sets is worth a warning."""
RANDOM_ONLY = "network checked with random weights only"
"""Warning of a score whose network was never compared with its source on the published weights."""
_QUARTERS = 4
_LEAST_IN_A_QUARTER = 4


@dataclass(frozen=True)
class Scorer:
    """Computes scores from the cached features of a plan.

    Attributes:
        plan: what was measured.
        setup, identities, cache: arguments of `fbridge.evaluation.features.measure.measure`.
    """

    plan: Plan
    setup: Setup
    identities: Mapping[str, str]
    cache: FeatureCache

    def score(self, metric: Metric) -> Score:
        """The score of the generated clips by one metric."""
        if isinstance(metric, SetMetric):
            return self._score_sets(metric)
        assert isinstance(metric, ClipMetric)
        return self._score_clips(metric)

    def motion(self) -> dict[str, float]:
        """Mean flow of each pair's real clip, in pixels per frame; empty without pairs."""
        if not self.plan.selection.paired:
            return {}
        plan, keys = self.plan, self.plan.selection.generated.clips
        return {key: float(self._feature(MOTION, plan.real(key)).mean()) for key in keys}

    def _score_sets(self, metric: SetMetric) -> Score:
        plan, protocol = self.plan, self.plan.protocol
        feature = metric.feature(protocol)
        own = self._stack(feature, (plan.own(key) for key in plan.selection.generated.clips))
        compares = "reference" in metric.needs
        real = self._stack_real(feature) if compares or plan.variants else own[:0]
        against = real if compares else real[:0]
        measured = metric.measure(own, against, protocol)
        return Score(
            metric=metric.name,
            label=metric.label,
            protocol=self._id(metric, [feature]),
            value=measured.value,
            better=metric.better,
            interval=measured.interval,
            generated=len(own),
            reference=len(against),
            warning=self._warning(metric, [feature], _too_few(len(own), len(against))),
            details=measured.details,
            baselines=self._set_baselines(metric, feature, real),
            quartiles=self._set_quarters(metric, own, against),
        )

    def _set_baselines(self, metric: SetMetric, feature: str, real: Tensor) -> dict[str, float]:
        if self.plan.selection.reference is None or not self.plan.variants:
            return {}
        protocol = self.plan.protocol
        compares = "reference" in metric.needs
        found: dict[str, float] = {}
        if not compares:
            found["real"] = metric.quick(real, real[:0], protocol)
        elif len(real) >= 4:
            half = len(real) // 2
            generator = torch.Generator().manual_seed(protocol.seed)
            order = torch.randperm(len(real), generator=generator)
            first, second = real[order[:half]], real[order[half : 2 * half]]
            found[f"real against real ({half} each)"] = metric.quick(first, second, protocol)
        for variant in self.plan.variants:
            rows = self._stack_real(feature, variant)
            against = real if compares else real[:0]
            found[BASELINES[variant]] = metric.quick(rows, against, protocol)
        return found

    def _set_quarters(self, metric: SetMetric, own: Tensor, real: Tensor) -> tuple[float, ...]:
        place = {key: number for number, key in enumerate(self.plan.selection.generated.clips)}
        found = []
        for quarter in self._quarters():
            rows = [place[key] for key in quarter]
            some = real[rows] if len(real) else real
            found.append(metric.quick(own[rows], some, self.plan.protocol))
        return tuple(found)

    def _score_clips(self, metric: ClipMetric) -> Score:
        keys = self.plan.selection.generated.clips
        scores = {key: metric.score(self._inputs(metric, key, self.plan.own(key))) for key in keys}
        values = _tensor(scores.values())
        capped = metric.capped(values)
        features = [*metric.own, *metric.pair, *metric.picture, *metric.with_picture]
        return Score(
            metric=metric.name,
            label=metric.label,
            protocol=self._id(metric, features),
            value=metric.pool(values),
            better=metric.better,
            interval=mean_interval(capped[capped.isfinite()]),
            generated=len(values),
            reference=len(values) if "pair" in metric.needs else 0,
            warning=self._warning(metric, features),
            details=_spread(values),
            baselines=self._clip_baselines(metric),
            quartiles=tuple(
                metric.pool(_tensor(scores[key] for key in quarter)) for quarter in self._quarters()
            ),
            clips=scores,
        )

    def _clip_baselines(self, metric: ClipMetric) -> dict[str, float]:
        plan, reference = self.plan, self.plan.selection.reference
        if reference is None or not plan.variants:
            return {}
        found = {}
        for variant in plan.variants if metric.pair else ("", *plan.variants):
            scores = (
                metric.score(self._inputs(metric, key, plan.real(key, variant), real=True))
                for key in reference.clips
            )
            found[BASELINES.get(variant, "real")] = metric.pool(_tensor(scores))
        return found

    def _inputs(
        self, metric: ClipMetric, key: str, clip: FrameSource, *, real: bool = False
    ) -> MetricInputs:
        picture = self.plan.picture(key, real=real)
        pictures = () if picture is None else (picture,)
        return MetricInputs(
            own={name: self._feature(name, clip) for name in metric.own},
            pair={name: self._feature(name, clip, self.plan.real(key)) for name in metric.pair},
            picture={name: self._feature(name, one) for one in pictures for name in metric.picture},
            with_picture={
                name: self._feature(name, clip, one)
                for one in pictures
                for name in metric.with_picture
            },
            caption=self.plan.selection.captions.get(key, ""),
        )

    def _quarters(self) -> list[list[str]]:
        """Keys in four parts, from least to most motion of the real clip; none for few clips."""
        motion = self.motion()
        if len(motion) < _QUARTERS * _LEAST_IN_A_QUARTER:
            return []
        order = sorted(motion, key=lambda key: (motion[key], key))
        edges = [len(order) * part // _QUARTERS for part in range(_QUARTERS + 1)]
        return [order[edges[part] : edges[part + 1]] for part in range(_QUARTERS)]

    def _stack_real(self, feature: str, variant: str = "") -> Tensor:
        reference = self.plan.selection.reference
        if reference is None:
            return torch.empty(0)
        return self._stack(feature, (self.plan.real(key, variant) for key in reference.clips))

    def _stack(self, feature: str, clips: Iterable[FrameSource]) -> Tensor:
        """(N, ...) of one feature of N clips."""
        return torch.stack([self._feature(feature, clip) for clip in clips])

    def _feature(self, feature: str, *sources: FrameSource) -> Tensor:
        request = FeatureRequest(feature, sources)
        return read_feature(request, self.setup, self.identities, self.cache)

    def _warning(self, metric: Metric, features: Iterable[str], few: str = "") -> str:
        """All reasons to read a score with care, in one line; "" without any."""
        unverified = any(UNVERIFIED in self.identities[name] for name in features)
        reasons = [
            few,
            "weights unverified: no hash of them is published" if unverified else "",
            RANDOM_ONLY if metric.checked_with == "random weights" else "",
        ]
        return "; ".join(filter(None, reasons))

    def _id(self, metric: Metric, features: Iterable[str]) -> str:
        """All that decides a number, in one string."""
        size = "x".join(map(str, self.setup.size))
        clips = self.plan.protocol.clip_id.replace("storeown", f"store{size}")
        if self.plan.selection.paired:
            clips = clips.replace(f"random{self.plan.protocol.seed}", "head")
        parts = [self.identities[name].replace(" ", ",") for name in dict.fromkeys(features)]
        parts += [*filter(None, [metric.settings]), clips]
        if isinstance(metric, SetMetric) and "reference" in metric.needs:
            parts.append(f"ddof{self.plan.protocol.ddof}")
        return f"{metric.name}[{','.join(parts)}]"


def _tensor(scores: Iterable[float]) -> Tensor:
    return torch.tensor(list(scores), dtype=torch.float64)


def _too_few(generated: int, reference: int) -> str:
    """A warning where a side holds few clips; `reference` is 0 without one."""
    least = min(generated, reference or generated)
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
