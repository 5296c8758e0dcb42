"""What needs no videos: the list of metrics, and the comparison of two results."""

from __future__ import annotations

from pathlib import Path

from fbridge_cli.evaluate.tables import number
from fbridge_cli.ui import Ui


def tell(ui: Ui) -> None:
    """All metrics and protocols."""
    from fbridge.evaluation.catalogue import METRICS
    from fbridge.evaluation.protocol import PROTOCOLS

    if ui.machine:
        ui.json(
            {
                "metrics": {name: metric.about for name, metric in METRICS.items()},
                "checked_with": {name: metric.checked_with for name, metric in METRICS.items()},
                "protocols": {name: protocol.about for name, protocol in PROTOCOLS.items()},
            }
        )
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


def compare(first: Path, second: Path, ui: Ui) -> None:
    """Two results side by side, clip by clip where both have a clip.

    Raises:
        DataError: they are not of the same protocol, or no results.
    """
    from fbridge.evaluation.comparison import compare_results
    from fbridge_cli.evaluate.errand import read_result

    found = compare_results(read_result(first), read_result(second))
    if ui.machine:
        ui.json([one.to_json() for one in found])
        return
    rows = []
    for one in found:
        interval = one.interval
        rows.append(
            [
                one.label,
                number(one.first),
                number(one.second),
                number(one.difference),
                "" if interval is None else f"{number(interval.low)} to {number(interval.high)}",
                "" if one.p_value is None else f"{one.p_value:.3g}",
                str(one.pairs),
            ]
        )
    ui.table(["metric", "A", "B", "B - A", "95 % interval", "p (paired)", "pairs"], rows)
