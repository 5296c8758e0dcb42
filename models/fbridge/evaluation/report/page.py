"""The report as one HTML file with videos, style and script embedded; it makes no requests."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from html import escape
from pathlib import Path

from torch import Tensor

from fbridge.data.stores import StoreUrl
from fbridge.data.stores.texts import write_text_to
from fbridge.evaluation.report.charts import baseline_chart, histogram, quartile_chart
from fbridge.evaluation.report.sources import Here, load_frames
from fbridge.evaluation.report.tables import number
from fbridge.evaluation.result import ClipPair, Evaluation, Score, Side
from fbridge.pages import clip_figures, page

SHOWN = 3
"""Number of best and of worst clips that are shown for each metric."""
MOST = 8
"""Largest number of different clips in a page."""
FPS = 8.0
SIDES = ("picture", "generated", "reference")

Frames = Callable[[ClipPair, str], "Tensor | None"]


def write_report(evaluation: Evaluation, path: Path | StoreUrl, here: Here = Path) -> None:
    """Write the page, atomically.

    Args:
        evaluation: the result to show.
        path: of the page, or its URL.
        here: the local file of a name in the result.

    Raises:
        DependencyError: it cannot be written.
    """
    write_text_to(path, render_report(evaluation, partial(load_frames, evaluation, here)))


def render_report(evaluation: Evaluation, frames: Frames) -> str:
    """The page as text.

    Args:
        evaluation: the result to show.
        frames: returns frames (T, H, W, 3) of a pair's "picture", "generated" or "reference", or
            None to leave it out.
    """
    parts = [
        *_head(evaluation),
        _table(evaluation.scores),
        *_charts(evaluation.scores),
        *_clips(evaluation, frames),
        *_protocol(evaluation),
    ]
    return page(evaluation.title, parts)


def _head(evaluation: Evaluation) -> Iterator[str]:
    size = "" if evaluation.size is None else f", {evaluation.size[0]}x{evaluation.size[1]} pixels"
    yield f"<h1>{escape(evaluation.title)}</h1>"
    real = f" against {evaluation.reference.clips} real ones" if evaluation.reference else ""
    yield (
        f'<p class="lead">{evaluation.generated.clips} generated clips{real}; '
        f"{evaluation.frames} frames at stride {evaluation.stride}{size}; protocol "
        f"{escape(evaluation.protocol)}.</p>"
    )
    for score in evaluation.scores:
        if score.warning:
            yield f'<p class="warning"><b>{escape(score.label)}</b>: {escape(score.warning)}</p>'


def _table(scores: Sequence[Score]) -> str:
    rows = "".join(_row(score) for score in scores)
    return (
        '<div class="wide"><table class="scores"><thead><tr><th>metric</th>'
        '<th class="number">value</th><th class="number">95 % interval</th>'
        '<th class="number">n</th><th>baselines</th></tr>'
        f"</thead><tbody>{rows}</tbody></table></div>"
    )


def _row(score: Score) -> str:
    interval = score.interval
    ends = "" if interval is None else f"{number(interval.low)} to {number(interval.high)}"
    method = "" if interval is None else f' title="{escape(interval.method)}"'
    count = f"{score.generated}" + (f" / {score.reference}" if score.reference else "")
    better = "" if score.better == "neither" else f"{score.better} is better"
    baselines = {name: number(value) for name, value in score.baselines.items()}
    items = "".join(f"<li>{escape(name)} <b>{text}</b></li>" for name, text in baselines.items())
    remarks = ""
    if "limit" in score.details:
        remarks = (
            f'<div class="small">infinitely many clips: {number(score.details["limit"])} &plusmn; '
            f"{number(score.details['limit_stderr'])}</div>"
        )
    if score.warning:
        remarks += f'<div class="small">{escape(score.warning)}</div>'
    return (
        f'<tr><th scope="row">{escape(score.label)}<div class="small">{better}</div></th>'
        f'<td class="number"><b>{number(score.value)}</b>{remarks}</td>'
        f'<td class="number"{method}>{ends}</td><td class="number">{count}</td>'
        f"<td>{baseline_chart(score, baselines)}<ul>{items}</ul></td></tr>"
    )


def _charts(scores: Sequence[Score]) -> Iterator[str]:
    charts = "".join(
        quartile_chart(score.quartiles, score.label)
        + histogram(list(score.clips.values()), score.label)
        for score in scores
    )
    if charts:
        yield f'<h2>By motion and by clip</h2><div class="charts">{charts}</div>'


def _clips(evaluation: Evaluation, frames: Frames) -> Iterator[str]:
    """The best and worst clips of each metric with a better direction, each clip once."""
    pairs = {pair.key: pair for pair in evaluation.pairs}
    tags: dict[str, list[str]] = {}
    for score in evaluation.scores:
        for key, tag in _best_and_worst(score):
            tags.setdefault(key, []).append(tag)
    chosen = list(tags or pairs)[:MOST]
    clips = "".join(_clip(pairs[key], tags.get(key, []), frames) for key in chosen if key in pairs)
    if not clips:
        return
    yield "<h2>Best and worst clips</h2>"
    yield '<p class="small">Picture, generated and real clip side by side; space stops all.'
    yield f" {len(tags) - MOST} more are left out.</p>" if len(tags) > MOST else "</p>"
    yield clips


def _best_and_worst(score: Score) -> Iterator[tuple[str, str]]:
    """Keys of the best and worst clips of a metric, each with a tag such as "PSNR 31, best 1"."""
    finite = {key: value for key, value in score.clips.items() if math.isfinite(value)}
    if score.better == "neither" or len(finite) < 2 * SHOWN:
        return
    order = sorted(finite, key=lambda key: finite[key], reverse=score.better == "higher")
    for place in range(SHOWN):
        for key, what in ((order[place], "best"), (order[-1 - place], "worst")):
            yield key, f"{score.label} {number(finite[key])}, {what} {place + 1}"


def _clip(pair: ClipPair, tags: Sequence[str], frames: Frames) -> str:
    found = {side: frames(pair, side) for side in SIDES}
    named = [
        ("real" if side == "reference" else side, video)
        for side, video in found.items()
        if video is not None
    ]
    if not named:
        return ""
    caption = f'<p class="caption">{escape(pair.caption)}</p>' if pair.caption else ""
    items = "".join(f"<li>{escape(tag)}</li>" for tag in tags)
    return (
        f'<section class="clip"><h3>{escape(pair.key)}</h3>{caption}<ul class="tags">{items}</ul>'
        f"{clip_figures(named, FPS, pair.key)}</section>"
    )


def _protocol(evaluation: Evaluation) -> Iterator[str]:
    yield "<h2>How it was measured</h2><dl>"
    for score in evaluation.scores:
        yield f"<dt>{escape(score.label)}</dt><dd><code>{escape(score.protocol)}</code></dd>"
    for name, side in (("generated", evaluation.generated), ("real", evaluation.reference)):
        if side is not None:
            yield f"<dt>{name}</dt><dd>{_side(side)}</dd>"
    versions = ", ".join(f"{name} {version}" for name, version in evaluation.versions.items())
    yield f"<dt>versions</dt><dd>{escape(versions)}</dd>"
    for note in evaluation.notes:
        yield f"<dt>note</dt><dd>{escape(note)}</dd>"
    yield "</dl>"


def _side(side: Side) -> str:
    facts = [f"{escape(side.name)}: {side.clips} clips, sha256 {side.hash[:16]}"]
    for name, counts in (("sizes", side.sizes), ("codecs", side.codecs), ("rates", side.rates),
                         ("left out", side.dropped)):  # fmt: skip
        if counts:
            listed = ", ".join(f"{escape(key)} ({times})" for key, times in counts.items())
            facts.append(f"{name}: {listed}")
    return "<br>".join(facts)
