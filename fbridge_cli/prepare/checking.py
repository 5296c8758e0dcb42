"""`fbridge prepare --verify`: a finished data set is hashed again, and damage is named."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from fbridge import prepare as core
from fbridge.errors import DataError
from fbridge.files.atomic import shown
from fbridge.prepare.verify import Checking, Damage, Verdict, way_out
from fbridge_cli.checks import home_expanded
from fbridge_cli.exit_codes import Stopped, interrupt_code
from fbridge_cli.progress import Bar
from fbridge_cli.ui import Ui

MOST_SHOWN = 20
MOST_NAMES = 3


def check_data_set(folder: Path, ui: Ui) -> None:
    """Hash everything and say what is damaged.

    Raises:
        DataError: something is, or there is no finished data set.
        Stopped: when the user stops it.
    """
    folder = home_expanded(folder)
    verdict = _watch(folder, ui)
    if ui.machine:
        ui.json(_tree(folder, verdict))
    for what, keys in (("changed", verdict.sources_changed), ("missing", verdict.sources_missing)):
        if keys:
            ui.warn(
                f"{len(keys)} sources {'were changed since' if what == 'changed' else 'are gone'}:"
                f" {_names(keys)}; the latents made of them are as they were"
            )
    if not verdict.ok:
        raise DataError(_complaint(folder, verdict.damaged))
    ui.result(
        f"{shown(folder)}: {verdict.rows} clips in {verdict.shards} shards are whole; "
        f"{verdict.sources_checked - len(verdict.sources_changed) - len(verdict.sources_missing)} "
        "sources unchanged"
    )


def _watch(folder: Path, ui: Ui) -> Verdict:
    """The verdict, with a bar for the shards and one for the sources."""
    bar: tuple[int | None, Bar] | None = None
    with ExitStack() as stack:
        try:
            for event in core.verify(folder):
                match event:
                    case Verdict():
                        return event
                    case Checking(what, done, total):
                        if bar is None or bar[0] != total:
                            stack.close()
                            unit = "sources" if total is None else "shards"
                            bar = total, stack.enter_context(ui.progress(total, unit))
                        bar[1].show(what, done)
        except KeyboardInterrupt as error:
            raise Stopped("interrupted; nothing was found out", interrupt_code(error)) from None
    raise AssertionError("verify ends with a verdict")


def _complaint(folder: Path, damaged: Sequence[Damage]) -> str:
    lines = [
        f"{shown(damage.what)}: {damage.reason}{_lost(damage)}; {way_out(folder, damage)}"
        for damage in damaged[:MOST_SHOWN]
    ]
    if len(damaged) == 1:
        return f"{shown(folder)}: {lines[0]}"
    if len(damaged) > MOST_SHOWN:
        lines.append(f"... and {len(damaged) - MOST_SHOWN} more")
    listed = "\n  ".join(lines)
    return f"{shown(folder)}: {len(damaged)} of its files are damaged:\n  {listed}"


def _lost(damage: Damage) -> str:
    """Which rows go with it."""
    if not damage.rows:
        return ""
    word = "row" if len(damage.rows) == 1 else "rows"
    return f"; lost with it: {word} {_spans(damage.rows)} ({_names(damage.keys)})"


def _spans(rows: Sequence[int]) -> str:
    """0-3, 7 for 0, 1, 2, 3, 7."""
    spans: list[list[int]] = []
    for row in sorted(rows):
        if spans and row == spans[-1][1] + 1:
            spans[-1][1] = row
        else:
            spans.append([row, row])
    told = [f"{first}-{last}" if last > first else f"{first}" for first, last in spans]
    more = f", ... ({len(rows)} in all)" if len(told) > MOST_SHOWN else ""
    return ", ".join(told[:MOST_SHOWN]) + more


def _names(keys: Sequence[str]) -> str:
    once = list(dict.fromkeys(keys))
    more = f" and {len(once) - MOST_NAMES} more" if len(once) > MOST_NAMES else ""
    return ", ".join(map(shown, once[:MOST_NAMES])) + more


def _tree(folder: Path, verdict: Verdict) -> dict[str, Any]:
    return {
        "dataset": shown(folder),
        "whole": verdict.ok,
        "clips": verdict.rows,
        "shards": verdict.shards,
        "damaged": [
            {
                "file": shown(damage.what),
                "reason": damage.reason,
                "rows": list(damage.rows),
                "keys": [shown(key) for key in damage.keys],
                "way_out": way_out(folder, damage),
            }
            for damage in verdict.damaged
        ],
        "sources": {
            "checked": verdict.sources_checked,
            "changed": [shown(key) for key in verdict.sources_changed],
            "missing": [shown(key) for key in verdict.sources_missing],
        },
    }
