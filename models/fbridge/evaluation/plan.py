"""Which features an evaluation needs of which clips: the plan of the one decoding pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fbridge.evaluation.features.measure import ROUND_TRIP, FeatureRequest, FeatureTask, FrameSource
from fbridge.evaluation.metrics.metric import ClipMetric, Metric, SetMetric
from fbridge.evaluation.pairing import Selection
from fbridge.evaluation.protocol import Protocol

MOTION = "flow"
"""The feature by which clips are put in order of motion."""

BASELINES = {
    "still": "picture repeated",
    "shuffled": "frames shuffled",
    ROUND_TRIP: "codec round trip",
}
"""Variants of the real clips whose scores give a number its meaning, and their names in print."""


@dataclass(frozen=True)
class Plan:
    """What is looked at, and by which metrics.

    Attributes:
        selection: the clips.
        metrics: in order.
        protocol: of all of them.
        variants: baselines that are computed: keys of `BASELINES`.
    """

    selection: Selection
    metrics: tuple[Metric, ...]
    protocol: Protocol
    variants: tuple[str, ...]

    @property
    def features(self) -> list[str]:
        """Every feature that is needed, once."""
        return list(
            dict.fromkeys(request.feature for task in self.tasks() for request in task.requests)
        )

    def tasks(self) -> list[FeatureTask]:
        """One for each key of either side."""
        keys = dict.fromkeys(self.selection.generated.clips)
        if self.selection.reference is not None:
            keys |= dict.fromkeys(self.selection.reference.clips)
        return [FeatureTask(key, tuple(dict.fromkeys(self._requests(key)))) for key in keys]

    def own(self, key: str) -> FrameSource:
        """The generated clip."""
        return FrameSource(self.selection.generated.clips[key])

    def real(self, key: str, variant: str = "") -> FrameSource:
        """The real clip, as it is or as a baseline."""
        assert self.selection.reference is not None
        return FrameSource(self.selection.reference.clips[key], variant=variant)

    def picture(self, key: str, *, real: bool = False) -> FrameSource | None:
        """What a clip was made from: the picture if known, else its real clip's first frame."""
        known = self.selection.pictures.get(key)
        if known is not None and not real:
            return FrameSource(picture=known)
        paired = self.selection.paired or real
        return self.real(key, "first") if paired and self.selection.reference is not None else None

    def _requests(self, key: str) -> Iterator[FeatureRequest]:
        real = self.selection.reference
        if key in self.selection.generated.clips:
            for metric in self.metrics:
                yield from self._of(
                    metric, key, self.own(key), self.picture(key), compared=self.selection.paired
                )
        if real is None or key not in real.clips:
            return
        if self.selection.paired:
            yield FeatureRequest(MOTION, (self.real(key),))
        for metric in self.metrics:
            if not self.variants and "reference" not in metric.needs:
                continue
            for variant in ("", *self.variants):
                source = self.real(key, variant)
                picture = self.picture(key, real=True)
                yield from self._of(metric, key, source, picture, compared=bool(variant))

    def _of(
        self,
        metric: Metric,
        key: str,
        source: FrameSource,
        picture: FrameSource | None,
        *,
        compared: bool,
    ) -> Iterator[FeatureRequest]:
        if isinstance(metric, SetMetric):
            yield FeatureRequest(metric.feature(self.protocol), (source,))
            return
        assert isinstance(metric, ClipMetric)
        for name in metric.own:
            yield FeatureRequest(name, (source,))
        if metric.pair and compared:
            yield from (FeatureRequest(name, (source, self.real(key))) for name in metric.pair)
        if picture is not None:
            yield from (FeatureRequest(name, (picture,)) for name in metric.picture)
            yield from (FeatureRequest(name, (source, picture)) for name in metric.with_picture)


def usable_variants(
    metrics: Sequence[Metric], *, baselines: bool, reference: bool, codec: bool
) -> tuple[str, ...]:
    """The baselines that this evaluation has the means for."""
    if not (baselines and reference and metrics):
        return ()
    return tuple(name for name in BASELINES if codec or name != ROUND_TRIP)
