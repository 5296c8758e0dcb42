"""The page: one file of HTML with everything inside, which asks nothing of any network."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from html import escape
from importlib import resources
from pathlib import Path

from torch import Tensor

from fbridge.evaluation.report.charts import between, curve, histogram
from fbridge.evaluation.report.media import encode_jpeg, encode_webm
from fbridge.evaluation.report.sources import load_frames
from fbridge.evaluation.result import ClipPair, Evaluation, Score, Side
from fbridge.files.atomic import write_text

SHOWN = 3
"""Clips at either end of a metric that are shown."""
MOST = 8
"""Different clips that a page carries."""
FPS = 8.0
SIDES = ("picture", "generated", "reference")

Frames = Callable[[ClipPair, str], "Tensor | None"]
_POLICY = (
    "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'"
)


def write_report(evaluation: Evaluation, path: Path) -> None:
    """Write the page, whole or not at all.

    Raises:
        DependencyError: it cannot be written.
    """
    write_text(path, render_report(evaluation, partial(load_frames, evaluation)))


def render_report(evaluation: Evaluation, frames: Frames) -> str:
    """The page as text.

    Args:
        evaluation: what is told.
        frames: (T, H, W, 3) of a pair's "picture", "generated" or "reference"; None to leave out.
    """
    parts = [
        *_head(evaluation),
        _table(evaluation.scores),
        *_charts(evaluation.scores),
        *_clips(evaluation, frames),
        *_protocol(evaluation),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(evaluation.title)}</title><style>{_file('report.css')}</style></head>"
        f"<body><main>{''.join(parts)}</main><script>{_file('report.js')}</script></body></html>\n"
    )


def _file(name: str) -> str:
    return resources.files("fbridge.evaluation.report").joinpath(name).read_text(encoding="utf-8")


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
        '<div class="wide"><table><thead><tr><th>metric</th><th class="number">value</th>'
        '<th class="number">95 % interval</th><th class="number">n</th><th>baselines</th></tr>'
        f"</thead><tbody>{rows}</tbody></table></div>"
    )


def _row(score: Score) -> str:
    interval = score.interval
    ends = "" if interval is None else f"{_number(interval.low)} to {_number(interval.high)}"
    method = "" if interval is None else f' title="{escape(interval.method)}"'
    count = f"{score.generated}" + (f" / {score.reference}" if score.reference else "")
    arrow = {"lower": "lower is better", "higher": "higher is better", "neither": ""}[score.better]
    told = {name: _number(value) for name, value in score.baselines.items()}
    listed = "".join(
        f"<li>{escape(name)} <b>{escape(value)}</b></li>" for name, value in told.items()
    )
    limit = score.details.get("limit")
    beyond = (
        f'<div class="small">infinitely many clips: {_number(limit)} &plusmn; '
        f"{_number(score.details['limit_stderr'])}</div>"
        if limit is not None
        else ""
    )
    if score.warning:
        beyond += f'<div class="small">{escape(score.warning)}</div>'
    return (
        f'<tr><th scope="row">{escape(score.label)}<div class="small">{arrow}</div></th>'
        f'<td class="number"><b>{_number(score.value)}</b>{beyond}</td>'
        f'<td class="number"{method}>{ends}</td><td class="number">{count}</td>'
        f"<td>{between(score, told)}<ul>{listed}</ul></td></tr>"
    )


def _charts(scores: Sequence[Score]) -> Iterator[str]:
    drawn = [
        chart
        for score in scores
        for chart in (
            curve(score.quartiles, score.label),
            histogram(list(score.clips.values()), score.label),
        )
        if chart
    ]
    if drawn:
        yield f'<h2>By motion, and clip by clip</h2><div class="charts">{"".join(drawn)}</div>'


def _clips(evaluation: Evaluation, frames: Frames) -> Iterator[str]:
    """The best and worst clips of each metric that has a better end, each clip once."""
    pairs = {pair.key: pair for pair in evaluation.pairs}
    wanted: dict[str, list[str]] = {}
    for score in evaluation.scores:
        for key, told in _ends(score):
            wanted.setdefault(key, []).append(told)
    if not wanted:
        wanted = {key: [] for key in list(pairs)[:MOST]}
    left_out = max(0, len(wanted) - MOST)
    shown = [
        _clip(pairs[key], told, frames) for key, told in list(wanted.items())[:MOST] if key in pairs
    ]
    if not any(shown):
        return
    yield "<h2>Best and worst clips</h2>"
    yield '<p class="small">Picture, generated and real clip side by side; space stops all.'
    yield f" {left_out} more are left out.</p>" if left_out else "</p>"
    yield "".join(shown)


def _ends(score: Score) -> Iterator[tuple[str, str]]:
    finite = {key: value for key, value in score.clips.items() if math.isfinite(value)}
    if score.better == "neither" or len(finite) < 2 * SHOWN:
        return
    order = sorted(finite, key=lambda key: finite[key], reverse=score.better == "higher")
    for place in range(SHOWN):
        for key, what in ((order[place], "best"), (order[-1 - place], "worst")):
            yield key, f"{score.label} {_number(finite[key])}, {what} {place + 1}"


def _clip(pair: ClipPair, told: Sequence[str], frames: Frames) -> str:
    figures = []
    for side in SIDES:
        found = frames(pair, side)
        if found is None:
            continue
        name = "real" if side == "reference" else side
        shown = _moving(found, f"{name} of {pair.key}")
        figures.append(f"<figure>{shown}<figcaption>{name}</figcaption></figure>")
    if not figures:
        return ""
    words = f'<p class="caption">{escape(pair.caption)}</p>' if pair.caption else ""
    tags = "".join(f"<li>{escape(one)}</li>" for one in told)
    return (
        f'<section class="clip"><h3>{escape(pair.key)}</h3>{words}<ul class="tags">{tags}</ul>'
        f'<div class="videos">{"".join(figures)}</div></section>'
    )


def _moving(frames: Tensor, label: str) -> str:
    """A video with its first frame as poster; of a single frame, the picture."""
    still = f"data:image/jpeg;base64,{base64.b64encode(encode_jpeg(frames[0])).decode()}"
    if len(frames) == 1:
        return f'<img src="{still}" alt="{escape(label)}">'
    data = base64.b64encode(encode_webm(frames, FPS)).decode()
    return (
        f'<video muted loop playsinline preload="auto" poster="{still}" '
        f'src="data:video/webm;base64,{data}" aria-label="{escape(label)}"></video>'
    )


def _protocol(evaluation: Evaluation) -> Iterator[str]:
    yield "<h2>How it was measured</h2><dl>"
    for score in evaluation.scores:
        yield f"<dt>{escape(score.label)}</dt><dd><code>{escape(score.protocol)}</code></dd>"
    for name, side in (("generated", evaluation.generated), ("real", evaluation.reference)):
        if side is not None:
            yield f"<dt>{name}</dt><dd>{_side(side)}</dd>"
    versions = ", ".join(f"{name} {number}" for name, number in evaluation.versions.items())
    yield f"<dt>versions</dt><dd>{escape(versions)}</dd>"
    for note in evaluation.notes:
        yield f"<dt>note</dt><dd>{escape(note)}</dd>"
    yield "</dl>"


def _side(side: Side) -> str:
    facts = [f"{escape(side.name)}: {side.clips} clips, sha256 {side.hash[:16]}"]
    for name, counts in (("sizes", side.sizes), ("codecs", side.codecs), ("rates", side.rates),
                         ("left out", side.dropped)):  # fmt: skip
        if counts:
            told = ", ".join(f"{escape(key)} ({number})" for key, number in counts.items())
            facts.append(f"{name}: {told}")
    return "<br>".join(facts)


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "none" if math.isnan(value) else "infinite"
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:.1f}"
