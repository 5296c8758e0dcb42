"""What `fbridge eval` prints and writes: results, comparisons, studies, the list of metrics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fbridge.data.stores import StoreUrl
from fbridge.data.stores.texts import write_text_to
from fbridge.errors import ConfigError, DataError
from fbridge.evaluation.comparison import compare_results
from fbridge.evaluation.inputs import Making, Note
from fbridge.evaluation.metrics.catalogue import METRICS
from fbridge.evaluation.pairing import SamplingProgress
from fbridge.evaluation.protocol import PROTOCOLS
from fbridge.evaluation.report import tables, write_report
from fbridge.evaluation.report.sources import Here
from fbridge.evaluation.report.tables import number
from fbridge.evaluation.result import Evaluation, Interval, parse_evaluation
from fbridge.evaluation.run import Event, Listed
from fbridge.evaluation.user_study import StudyRequest, StudyResult, analyse_study, make_study
from fbridge.files.atomic import shown
from fbridge.weights.fetch import FetchBegun, Fetching
from fbridge_cli.progress import Bar
from fbridge_cli.ui import Ui


def show_event(event: Event, bar: Bar, ui: Ui) -> None:
    """Show how far an evaluation is."""
    match event:
        case Note(text):
            ui.note(text)
        case Making(done, total):
            bar.show("making videos", done, total)
        case FetchBegun():
            ui.note(event.text)
        case Fetching(name, done, total):
            bar.show(f"fetching {name}", done >> 20, total >> 20, "MiB")
        case Listed():
            ui.note(f"{shown(event.source)}: {event.clips} videos, {event.description}")
        case SamplingProgress():
            bar.show(f"looking into {event.what}", event.done, event.total)
        case Evaluation():
            pass
        case _:
            kept = event.done - event.fresh
            bar.show(f"measuring ({kept} known)" if kept else "measuring", event.done, event.total)


def show_evaluation(
    evaluation: Evaluation,
    ui: Ui,
    *,
    out: Sequence[Path | StoreUrl],
    report: Path | StoreUrl | None,
    vbench: Path | None,
    here: Here,
) -> None:
    """Print the result and write it to the files that were named.

    Args:
        evaluation: the result.
        ui: where it is printed.
        out: files of tables, also by URL.
        report: file of the page, likewise.
        vbench: file of the scores in VBench's format.
        here: the local file of a name in the result.
    """
    if ui.machine:
        ui.json(evaluation.to_json())
    else:
        _show_table(evaluation, ui)
    texts = [(path, tables.FORMS[Path(path.name).suffix.lower()](evaluation)) for path in out]
    if vbench is not None:
        texts.append((vbench, tables.vbench(evaluation)))
    for path, text in texts:
        write_text_to(path, text)
        ui.note(f"wrote {shown(path)}")
    if report is not None:
        with ui.waiting("writing the report"):
            write_report(evaluation, report, here)
        ui.note(f"wrote {shown(report)}")


def _show_table(evaluation: Evaluation, ui: Ui) -> None:
    ui.table(tables.HEADINGS, tables.rows(evaluation))
    for score in evaluation.scores:
        limit = score.details.get("limit")
        if limit is not None:
            error = score.details["limit_stderr"]
            ui.result(f"{score.label} at infinitely many clips: {limit:.4g} \u00b1 {error:.2g}")
        if "ddof0" in score.details:
            a, b = score.details["ddof0"], score.details["ddof1"]
            ui.result(f"{score.label} with covariances over N: {a:.6g}, over N - 1: {b:.6g}")
    for note in (*evaluation.notes, *(score.protocol for score in evaluation.scores)):
        ui.note(note)


def show_catalogue(ui: Ui) -> None:
    """Print all metrics and protocols."""
    if ui.machine:
        metrics = {name: metric.about for name, metric in METRICS.items()}
        protocols = {name: protocol.about for name, protocol in PROTOCOLS.items()}
        checked = {name: metric.checked_with for name, metric in METRICS.items()}
        ui.json({"metrics": metrics, "checked_with": checked, "protocols": protocols})
        return
    rows = [
        [
            metric.name,
            ", ".join(sorted(metric.needs)),
            ", ".join(metric.networks),
            metric.checked_with,
            metric.about,
        ]
        for metric in METRICS.values()
    ]
    ui.table(["metric", "needs", "weights", "network checked with", "what it is"], rows)
    ui.result("")
    ui.table(["protocol", "what it is"], [[p.name, p.about] for p in PROTOCOLS.values()])


def show_comparison(first: Path, second: Path, ui: Ui) -> None:
    """Print two results side by side, clip by clip where both have a clip.

    Raises:
        DataError: they are not of the same protocol, or no results.
    """
    one, other = (parse_evaluation(_text(path), shown(path)) for path in (first, second))
    found = compare_results(one, other)
    if ui.machine:
        ui.json([pair.to_json() for pair in found])
        return
    rows = [
        [
            pair.label,
            number(pair.first),
            number(pair.second),
            number(pair.difference),
            _ends(pair.interval),
            "" if pair.p_value is None else f"{pair.p_value:.3g}",
            str(pair.pairs),
        ]
        for pair in found
    ]
    ui.table(["metric", "A", "B", "B - A", "95 % interval", "p (paired)", "pairs"], rows)


def write_study(request: StudyRequest, folder: Path, ui: Ui) -> None:
    """Write the page of a study, and print where it is."""
    with ui.waiting("writing the study"):
        key, clips = make_study(request, folder)
    ui.result(f"{shown(folder / 'index.html')}: {clips} clips of {len(request.systems)} systems")
    ui.note(f"keep {shown(key)} to yourself: it tells which system made which video")


def show_study(paths: Sequence[Path], folder: Path | None, ui: Ui) -> None:
    """Print what the answers of a study say.

    Args:
        paths: files of answers; without `folder` the study's key is among them.
        folder: the study's.
        ui: where it is printed.

    Raises:
        DataError: a file is missing or of another study.
    """
    keys = [path for path in paths if path.name.endswith("-key.json")]
    if folder is not None:
        keys = [folder.with_name(f"{folder.name}-key.json")]
    answers = [(shown(path), _text(path)) for path in paths if path not in keys]
    if len(keys) != 1:
        raise ConfigError(
            "--study-results: needs the study's key too; name its DIR-key.json among the files, "
            "or its folder with --study DIR"
        )
    if not answers:
        raise ConfigError("--study-results: name the files of answers, one of each participant")
    found = analyse_study(answers, (shown(keys[0]), _text(keys[0])))
    if ui.machine:
        ui.json(found.to_json())
    else:
        _show_answers(found, ui)


def _show_answers(found: StudyResult, ui: Ui) -> None:
    rows = []
    for pair in found.pairs:
        ends = pair.interval
        rows.append(
            [
                f"{pair.first} against {pair.second}",
                f"{100 * pair.rate:.1f} %",
                "" if ends is None else f"{100 * ends.low:.1f} to {100 * ends.high:.1f} %",
                f"{pair.wins} / {pair.losses} / {pair.ties}",
                number(pair.agreement),
            ]
        )
    ui.table(["preferred", "share", "95 % interval", "won / lost / tied", "agreement"], rows)
    for name, strength in sorted(found.strengths.items(), key=lambda pair: -pair[1]):
        ends = found.strength_intervals.get(name)
        ui.result(f"{name}: strength {number(strength)}" + (f" ({_ends(ends)})" if ends else ""))
    ui.note(f"{found.participants} participants; {len(found.inattentive)} left out as inattentive")
    left = found.left_interval
    if left is not None and not left.low <= 0.5 <= left.high:
        ui.warn(f"the left side was chosen in {100 * found.left:.0f} % of the answers")


def _ends(interval: Interval | None) -> str:
    return "" if interval is None else f"{number(interval.low)} to {number(interval.high)}"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{shown(path)}: cannot be read ({error})") from None
