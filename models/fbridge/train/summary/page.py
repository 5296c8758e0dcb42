"""The parts of RUN/report.html, as HTML."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from fbridge.pages.charts import Curve, curve_chart
from fbridge.train.request import Command
from fbridge.train.summary.learnt import Row
from fbridge.train.summary.next_lines import NextLine

_CHARTS = (
    ("Training loss", {"loss": "training clips"}),
    (
        "Loss on held-out clips",
        {
            "held_out": "held-out",
            "another_picture": "other's picture",
            "first_state": "start of the path",
        },
    ),
    (
        "PSNR on held-out clips, dB",
        {
            "psnr_generated": "generated",
            "psnr_teacher": "teacher",
            "psnr_prior": "prior",
            "psnr_repeated": "repeated picture",
        },
    ),
)
"""Titles, and the columns of metrics.csv with the names of their curves."""
_Cells = tuple[str, float | None, float | None, float | None]


def charts(rows: Sequence[Row]) -> Iterator[str]:
    """Curves of the rows of a metrics.csv; nothing of what it lacks."""
    drawn = "".join(
        curve_chart(
            [
                Curve(name, [(row["step"], row[column]) for row in rows if column in row])
                for column, name in columns.items()
            ],
            title,
        )
        for title, columns in _CHARTS
    )
    if drawn:
        yield f'<h2>Curves</h2><div class="charts">{drawn}</div>'


def comparison(command: Command, rows: Sequence[Row], *, scored: int, drawn: int) -> Iterator[str]:
    """The table of the run beside what it began as, its prior, and the repeated picture.

    Args:
        command: of the run.
        rows: of its metrics.csv.
        scored: clips of the losses.
        drawn: clips of the PSNR.
    """
    held_out = [row for row in rows if "held_out" in row]
    if not held_out:
        return
    first, last = held_out[0], held_out[-1]
    named = _priors_rows if command == "train-prior" else _bridges_rows
    heading, cells = named(first, last)
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(f'<td class="number">{_number(value)}</td>' for value in values)
        + "</tr>"
        for name, *values in cells
        if any(value is not None for value in values)
    )
    head = "".join(f'<th class="number">{escape(text)}</th>' for text in heading)
    yield "<h2>Compared on held-out clips</h2>"
    yield f'<div class="wide"><table><thead><tr><th></th>{head}</tr></thead>'
    yield f"<tbody>{body}</tbody></table></div>"
    psnr = f", PSNR over {drawn} of them, without their first frames" if drawn else ""
    yield f'<p class="small">Losses are means over {scored} held-out clips{psnr}.</p>'


def _bridges_rows(first: Row, last: Row) -> tuple[tuple[str, ...], list[_Cells]]:
    heading = (
        "PSNR in dB, higher is better",
        "loss, lower is better",
        "with another clip's picture",
    )
    runs = [(f"this run, step {last['step']:.0f}", last)]
    if first["step"] < last["step"]:
        runs.append(
            ("before training" if not first["step"] else f"step {first['step']:.0f}", first)
        )
    own: list[_Cells] = [
        (name, row.get("psnr_generated"), row["held_out"], row.get("another_picture"))
        for name, row in runs
    ]
    if "psnr_teacher" in last:
        own.append(("its teacher", last["psnr_teacher"], None, None))
    prior, still = last.get("psnr_prior"), last.get("psnr_repeated")
    if prior is not None and still is not None and abs(prior - still) > 0.05:
        own.append(("its prior alone", prior, None, None))
    return heading, [*own, ("the repeated picture", still, None, None)]


def _priors_rows(_: Row, last: Row) -> tuple[tuple[str, ...], list[_Cells]]:
    heading = ("PSNR in dB, higher is better", "squared error in latents", "loss")
    own = (f"this prior, step {last['step']:.0f}", last.get("psnr_prior"), last["latent_mse"],
           last["held_out"])  # fmt: skip
    still = ("the repeated picture", last.get("psnr_repeated"), last["repeated_mse"], None)
    return heading, [own, still]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def how_to_use(lines: Sequence[NextLine]) -> Iterator[str]:
    """Command lines, each below what it is for."""
    if not lines:
        return
    yield "<h2>How to use it</h2>"
    yield '<p class="small">To be typed in the folder where this run was begun.</p>'
    for purpose, line in lines:
        yield f'<p class="small purpose">{escape(purpose)}</p>'
        yield f"<pre><code>{escape(line, quote=False)}</code></pre>"


def settings(facts: Mapping[str, Any], toml: str) -> Iterator[str]:
    """What was trained, on what, with which versions; and the configuration.

    Args:
        facts: of run.json.
        toml: the resolved configuration.
    """
    data, base, versions = facts["data"], facts["base"], facts["versions"]
    clips = f"{data['training']} clips to train on, {data['held_out']} held out"
    pairs = (
        ("command", facts["command_line"]),
        ("base", "" if base is None else _hashed(base["name"], base["sha256"])),
        ("data", f"{_hashed(data['path'], data['sha256'])}; {clips}"),
        (
            "parameters",
            f"{facts['parameters']:,}, of which {facts['trained_parameters']:,} trained",
        ),
        ("device", facts["device"]),
        ("versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
        ("commit", facts["git"]),
    )
    yield "<h2>Settings</h2><dl>"
    yield from (f"<dt>{name}</dt><dd>{escape(str(text))}</dd>" for name, text in pairs if text)
    yield "</dl><details><summary>all of the configuration</summary>"
    yield f"<pre><code>{escape(toml, quote=False)}</code></pre></details>"


def _hashed(name: str, sha256: str) -> str:
    return f"{name} (sha256 {sha256[:12]})" if sha256 else name


def sentences(lines: Iterable[str]) -> Iterator[str]:
    """A list of sentences, each with a capital."""
    items = "".join(
        f"<li>{escape(text[:1].upper() + text[1:], quote=False)}.</li>" for text in lines
    )
    yield f'<ul class="told">{items}</ul>'
