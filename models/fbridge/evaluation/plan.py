"""Which features an evaluation needs of which clips, so that each clip is decoded once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fbridge.evaluation.features.measure import ROUND_TRIP, FeatureRequest, FeatureTask, FrameSource
from fbridge.evaluation.metrics.metric import ClipMetric, Metric, SetMetric
from fbridge.evaluation.pairing import Selection
from fbridge.evaluation.protocol import Protocol

MOTION = "flow"
"""The feature by which clips are sorted into quarters of motion."""

BASELINES = {
    "still": "picture repeated",
    "shuffled": "frames shuffled",
    ROUND_TRIP: "codec round trip",
}
"""Variants of the real clips that are scored for comparison, and their names in print."""


@dataclass(frozen=True)
class Plan:
    """The clips and metrics of an evaluation.

    Attributes:
        selection: the clips.
        metrics: in order.
        protocol: of all metrics.
        variants: keys of `BASELINES` that are scored.
    """

    selection: Selection
    metrics: tuple[Metric, ...]
    protocol: Protocol
    variants: tuple[str, ...]

    @property
    def features(self) -> list[str]:
        """Names of the features that are needed, each once."""
        requests = (request for task in self.tasks() for request in task.requests)
        return list(dict.fromkeys(request.feature for request in requests))

    def tasks(self) -> list[FeatureTask]:
        """One task for each key of either side."""
        keys = dict.fromkeys(self.selection.generated.clips)
        if self.selection.reference is not None:
            keys |= dict.fromkeys(self.selection.reference.clips)
        return [FeatureTask(key, tuple(dict.fromkeys(self._requests(key)))) for key in keys]

    def own(self, key: str) -> FrameSource:
        """The generated clip."""
        return FrameSource(self.selection.generated.clips[key])

    def real(self, key: str, variant: str = "") -> FrameSource:
        """The real clip, or a variant of it."""
        assert self.selection.reference is not None
        return FrameSource(self.selection.reference.clips[key], variant=variant)

    def picture(self, key: str, *, real: bool = False) -> FrameSource | None:
        """The picture a generated clip was made from if known, else its real clip's first frame.

        With `real`, always the real clip's first frame.
        """
        known = self.selection.pictures.get(key)
        if known is not None and not real:
            return FrameSource(picture=known)
        paired = self.selection.paired or real
        return self.real(key, "first") if paired and self.selection.reference is not None else None

    def _requests(self, key: str) -> Iterator[FeatureRequest]:
        paired, real = self.selection.paired, self.selection.reference
        if key in self.selection.generated.clips:
            for metric in self.metrics:
                yield from self._of(metric, key, self.own(key), self.picture(key), with_pair=paired)
        if real is None or key not in real.clips:
            return
        if paired:
            yield FeatureRequest(MOTION, (self.real(key),))
        picture = self.picture(key, real=True)
        for metric in self.metrics:
            if self.variants or "reference" in metric.needs:
                for variant in ("", *self.variants):
                    source = self.real(key, variant)
                    yield from self._of(metric, key, source, picture, with_pair=bool(variant))

    def _of(
        self,
        metric: Metric,
        key: str,
        clip: FrameSource,
        picture: FrameSource | None,
        *,
        with_pair: bool,
    ) -> Iterator[FeatureRequest]:
        """The requests of one metric for one clip, on `with_pair` also with its real clip."""
        if isinstance(metric, SetMetric):
            yield FeatureRequest(metric.feature(self.protocol), (clip,))
            return
        assert isinstance(metric, ClipMetric)
        yield from (FeatureRequest(name, (clip,)) for name in metric.own)
        if with_pair:
            yield from (FeatureRequest(name, (clip, self.real(key))) for name in metric.pair)
        if picture is not None:
            yield from (FeatureRequest(name, (picture,)) for name in metric.picture)
            yield from (FeatureRequest(name, (clip, picture)) for name in metric.with_picture)


def usable_variants(
    metrics: Sequence[Metric], *, baselines: bool, reference: bool, codec: bool
) -> tuple[str, ...]:
    """Keys of `BASELINES` that can be scored: they need a reference, one of them a codec."""
    if not (baselines and reference and metrics):
        return ()
    return tuple(name for name in BASELINES if codec or name != ROUND_TRIP)
