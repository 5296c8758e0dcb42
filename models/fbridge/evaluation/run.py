"""An evaluation from two sources to its result, as a series of events.

The steps: listing -> clips (which frames) -> selection (joined, drawn) -> one pass of
features, kept on disk -> scores with intervals, baselines and quarters -> `Evaluation`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from fbridge.data.stores import StoreUrl
from fbridge.errors import ConfigError, DataError, FBridgeError
from fbridge.evaluation.clips import FrameSampling, Listing
from fbridge.evaluation.features.cache import FeatureCache
from fbridge.evaluation.features.measure import (
    Computing,
    FeatureProgress,
    FeatureTask,
    measure,
    missing,
)
from fbridge.evaluation.features.networks import Setup, identity_of
from fbridge.evaluation.inputs import Making, Note, find_inputs, make_ready
from fbridge.evaluation.metrics import vbench
from fbridge.evaluation.metrics.catalogue import find_metrics
from fbridge.evaluation.metrics.metric import Metric
from fbridge.evaluation.pairing import (
    ClipSet,
    SamplingProgress,
    Selection,
    collect_clips,
    select,
    without_tars,
)
from fbridge.evaluation.plan import Plan, usable_variants
from fbridge.evaluation.remote_sides import RemoteSides
from fbridge.evaluation.request import EvalRequest
from fbridge.evaluation.result import ClipPair, Evaluation, Score
from fbridge.evaluation.scoring import Scorer
from fbridge.weights.fetch import Event as FetchEvent

_NAMED = 3


@dataclass(frozen=True)
class Listed:
    """A side was listed; `description` says how it is laid out."""

    source: Path | StoreUrl
    description: str
    clips: int


@dataclass(frozen=True)
class Share:
    """This process among several that evaluate together.

    Attributes:
        number, world: number of this process, from 0, and of all processes.
        wait: returns when all processes have called it.
    """

    number: int = 0
    world: int = 1
    wait: Callable[[], None] = lambda: None

    def of(self, tasks: Sequence[FeatureTask]) -> list[FeatureTask]:
        """The tasks of this process."""
        return list(tasks[self.number :: self.world])


Event = Note | Making | FetchEvent | Listed | SamplingProgress | FeatureProgress | Evaluation


def evaluate(
    request: EvalRequest, share: Share | None = None, remote: RemoteSides | None = None
) -> Iterator[Event]:
    """Evaluate what a request names; the last event is the `Evaluation`.

    Videos behind URLs are copied to this machine: for the evaluation, or as long as `remote` says.

    Of several processes, each computes its share of the features into the cache they share, and
    each ends with the same result.

    Raises:
        FBridgeError: clips cannot be used (`DataError`), weights are missing (`CheckpointError`),
            the request is not possible (`ConfigError`).
    """
    with ExitStack() as stack:
        remote = remote or RemoteSides(stack)
        try:
            yield from _evaluate(request, share or Share(), remote)
        except FBridgeError as error:
            text = remote.told(str(error))
            if text == str(error):
                raise
            raise type(error)(text) from error


def _evaluate(request: EvalRequest, share: Share, remote: RemoteSides) -> Iterator[Event]:
    begun = time.monotonic()
    metrics = find_metrics(request.metrics)
    if request.generated is None:
        if share.world > 1:
            raise ConfigError(
                "several processes evaluate videos that are there; name them: GENERATED"
            )
        request = yield from find_inputs(request)
    _check(request, metrics)
    with _engine(request) as elsewhere:
        yield from _measure_sides(request, metrics, share, elsewhere, remote, begun)


def _engine(request: EvalRequest) -> AbstractContextManager[Computing | None]:
    """What computes features elsewhere; None where processes of this machine do."""
    if request.ray is None:
        return nullcontext()
    from fbridge.evaluation.features.on_ray import RayFeatures

    return RayFeatures(request.ray)


def _measure_sides(
    request: EvalRequest,
    metrics: tuple[Metric, ...],
    share: Share,
    elsewhere: Computing | None,
    remote: RemoteSides,
    begun: float,
) -> Iterator[Event]:
    """See `evaluate`, of a request whose sides are known."""
    if elsewhere is not None:
        yield Note(str(elsewhere))
    yield from make_ready(request)
    selection = yield from _select(request, metrics, remote)
    if elsewhere is not None and remote.any:
        raise ConfigError(
            "--engine ray: a list names URLs, which are copied to this machine alone, and nodes "
            "read files that all of them see; name files, or drop --engine"
        )
    setup = Setup(selection.size, request.device, request.codec)
    variants = usable_variants(
        metrics,
        baselines=request.baselines,
        reference=selection.reference is not None,
        codec=bool(request.codec),
    )
    plan = Plan(selection, metrics, request.protocol, variants)
    _check_needs(plan)
    identities = {name: identity_of(name) for name in plan.features}
    with FeatureCache(request.cache) as cache:
        failed: dict[str, str] = {}
        tasks = plan.tasks()
        mine, workers = share.of(tasks), request.workers
        for outcome in measure(
            mine, setup, identities, cache, workers=workers, elsewhere=elsewhere
        ):
            failed = outcome.failed
            yield outcome
        share.wait()
        for key in missing(tasks, setup, identities, cache):
            failed.setdefault(key, "could not be read by another process")
        if failed:
            plan = _without(plan, failed, skip_bad=request.skip_bad)
        scorer = Scorer(plan, setup, identities, cache)
        motion = scorer.motion()
        scores = tuple(scorer.score(metric) for metric in metrics)
    yield Evaluation(
        title=request.title or plan.selection.generated.name,
        protocol=request.protocol.name,
        frames=request.protocol.frames,
        stride=request.protocol.stride,
        size=selection.size,
        scores=scores,
        generated=plan.selection.generated.summary(),
        reference=plan.selection.reference.summary() if plan.selection.reference else None,
        pairs=tuple(_pairs(plan.selection, motion, remote)),
        notes=(*request.notes, *selection.notes, *_vbench_totals(scores)),
        versions=_versions(),
        seconds=round(time.monotonic() - begun, 1),
    )


def _check(request: EvalRequest, metrics: Sequence[Metric]) -> None:
    for metric in metrics:
        if request.reference is None and metric.needs & {"reference", "pair"}:
            raise ConfigError(
                f"--metric {metric.name}: compares with real videos; name them with --reference"
            )


def _select(
    request: EvalRequest, metrics: Sequence[Metric], remote: RemoteSides
) -> Generator[Listed | SamplingProgress, None, Selection]:
    """Sample the clips of both sides; returns the selection."""
    protocol = request.protocol
    assert request.generated is not None
    sides: list[ClipSet] = []
    listings = [(yield from _list(request.generated, None, remote))]
    if request.reference is not None:
        reference = yield from _list(request.reference, request.rows, remote)
        listings = list(without_tars(listings[0], reference))
    keys = {one.key for one in listings[0].found}
    paired = len(listings) > 1 and keys <= {one.key for one in listings[1].found}
    for number, listing in enumerate(listings):
        yield Listed(listing.source, listing.description, len(listing.found))
        if number and paired:
            found = tuple(one for one in listing.found if one.key in keys)
            listing = replace(listing, found=found)
        random = number == 1 and protocol.starts == "random" and not paired
        sampling = FrameSampling(
            protocol.frames,
            protocol.stride if number else protocol.generated_stride,
            protocol.seed if random else None,
        )
        what = "real videos" if number else "generated videos"
        listing = yield from _fetch(listing, what, remote)
        for event in collect_clips(listing, sampling, what=what, workers=request.workers):
            if isinstance(event, ClipSet):
                sides.append(event)
            else:
                yield event
    pairing = next((f"--metric {m.name}" for m in metrics if "pair" in m.needs), "")
    return select(
        sides[0],
        sides[1] if len(sides) > 1 else None,
        protocol,
        needs_pairs=pairing,
        skip_bad=request.skip_bad,
        pictures=request.pictures,
    )


def _list(
    place: Path | StoreUrl, rows: frozenset[str] | None, remote: RemoteSides
) -> Generator[SamplingProgress, None, Listing]:
    listing = remote.list(place, rows)
    while True:
        try:
            number, name = next(listing)
        except StopIteration as listed:
            return cast("Listing", listed.value)
        yield SamplingProgress(f"listing {name}", number, 0)


def _fetch(
    listing: Listing, what: str, remote: RemoteSides
) -> Generator[SamplingProgress, None, Listing]:
    fetching = remote.fetch(listing)
    while True:
        try:
            number = next(fetching)
        except StopIteration as fetched:
            return cast("Listing", fetched.value)
        yield SamplingProgress(f"fetching {what}", number, len(listing.found))


def _check_needs(plan: Plan) -> None:
    """Check that frames are large enough, and that clips have captions and pictures if needed."""
    selection, clips = plan.selection, plan.selection.generated.clips
    width, height = selection.size
    without = {
        "caption": [key for key in clips if key not in selection.captions],
        "picture": [key for key in clips if plan.picture(key) is None],
    }
    for metric in plan.metrics:
        least = metric.min_side
        if min(width, height) < least:
            raise DataError(
                f"--metric {metric.name}: needs frames of {least} x {least} pixels or more, these "
                f"have {width} x {height}; leave it out, or resize them with --size {least}"
            )
        for need, keys in without.items():
            if need in metric.needs and keys:
                raise DataError(
                    f"--metric {metric.name}: {len(keys)} of {len(clips)} videos have no {need}, "
                    f"such as {keys[0]!r}; {_REMEDIES[need]}"
                )


_REMEDIES = {
    "caption": "put a .txt of the same name beside each, or give a table with captions",
    "picture": "name the folder of the pictures with --pictures, or give a --reference whose "
    "videos have the same names",
}


def _without(plan: Plan, failed: Mapping[str, str], *, skip_bad: bool) -> Plan:
    """The plan without the clips that could not be decoded."""
    if not skip_bad:
        named = "; ".join(f"{key}: {reason}" for key, reason in list(failed.items())[:_NAMED])
        raise DataError(
            f"{len(failed)} clips cannot be decoded: {named}; --skip-bad leaves them out"
        )
    selection = plan.selection
    for side in (selection.generated, selection.reference):
        if side is not None:
            side.dropped["unreadable"] += len(set(side.clips) & set(failed))
            side.keep([key for key in side.clips if key not in failed])
            if not side.clips:
                raise DataError(f"{side.name}: holds no clip that can be used")
    return plan


def _pairs(
    selection: Selection, motion: Mapping[str, float], remote: RemoteSides
) -> Iterator[ClipPair]:
    for key, clip in selection.generated.clips.items():
        paired = selection.paired and selection.reference is not None
        real = selection.reference.clips[key] if paired and selection.reference else None
        yield ClipPair(
            key=key,
            generated=remote.told(str(clip.path)),
            reference=remote.told(str(real.path)) if real is not None else "",
            picture=remote.told(str(selection.pictures.get(key, ""))),
            caption=selection.captions.get(key, ""),
            generated_hash=clip.hash,
            reference_hash=real.hash if real is not None else "",
            motion=motion.get(key, float("nan")),
        )


def _vbench_totals(scores: Sequence[Score]) -> Iterator[str]:
    """Lines with those of VBench-I2V's weighted sums for which all dimensions were scored."""
    values = {score.metric.replace("-", "_"): score.value for score in scores}
    for name, total in vbench.totals(values).items():
        yield f"VBench-I2V {name.replace('_', ' ')}: {total:.4f} of 1"


def _versions() -> dict[str, str]:
    import platform
    from importlib import metadata

    import fbridge

    found = {"fbridge": fbridge.__version__, "python": platform.python_version()}
    return found | {name: metadata.version(name) for name in ("torch", "av")}
