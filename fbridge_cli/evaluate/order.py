"""What the user typed after `fbridge eval`, checked, and made into what the core understands."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fbridge.errors import ConfigError, DataError
from fbridge.files.atomic import check_writable, shown
from fbridge_cli.checks import check_choice, check_range, home_expanded, parse_size
from fbridge_cli.evaluate.options import DEVICES

if TYPE_CHECKING:
    from fbridge.evaluation.metric import Metric
    from fbridge.evaluation.protocol import Protocol

TABLES = (".csv", ".md", ".tex", ".json")
"""Ends of names that --out writes."""


@dataclass(frozen=True)
class Typed:
    """What the user typed, unchecked; None where he was silent."""

    generated: list[Path] | None = None
    reference: Path | None = None
    metrics: list[str] | None = None
    pictures: Path | None = None
    codec: str | None = None
    baselines: bool = True
    protocol: str = "stylegan-v"
    frames: int | None = None
    stride: int | None = None
    size: str | None = None
    clips: int | None = None
    seed: int | None = None
    weights: list[str] | None = None
    skip_bad: bool = False
    workers: int | None = None
    device: str = "auto"
    cache: Path | None = None
    title: str = ""
    out: list[Path] | None = None
    report: Path | None = None
    vbench: Path | None = None
    compare: tuple[Path, Path] | None = None
    study: Path | None = None
    question: str | None = None
    study_results: bool = False
    list_all: bool = False

    @property
    def side(self) -> Path | None:
        """The one side that is measured."""
        return self.generated[0] if self.generated else None

    def check(self) -> None:
        """Raise for all that can be told before anything slow begins.

        Raises:
            ConfigError: an option cannot be.
            DependencyError: a file could not be written.
        """
        check_choice("--device", self.device, DEVICES)
        check_range("--workers", self.workers, 0, 256)
        check_range("--seed", self.seed, 0, 2**63 - 1)
        self._check_written()
        if self.question is not None and self.study is None:
            raise ConfigError("--question: is what --study asks; name its folder")
        if len(self.generated or ()) > 1 and self.study is None:
            raise ConfigError(
                "several GENERATED are shown side by side by --study DIR; to measure, name one"
            )
        for option, read in (
            *(("GENERATED", path) for path in self.generated or ()),
            ("--reference", self.reference),
        ):
            if read is not None and not home_expanded(read).exists():
                raise DataError(f"{option} {shown(read)}: does not exist; check the path")
        if self.reference is not None and not self.generated:
            raise ConfigError("--reference: name the generated videos too, before it")

    def _check_written(self) -> None:
        """Raise unless the files of the result can be written as their names say."""
        for path in self.out or ():
            if path.suffix.lower() not in TABLES:
                raise ConfigError(
                    f"--out {shown(path)}: is written as {', '.join(TABLES)} by its end"
                )
        if self.report is not None and self.report.suffix.lower() not in (".html", ".htm"):
            raise ConfigError(f"--report {shown(self.report)}: must end in .html")
        for written in (*(self.out or ()), self.report, self.vbench):
            if written is not None:
                check_writable(written.parent)

    def chosen(self) -> tuple[Metric, ...]:
        """The metrics, motion among them.

        Raises:
            ConfigError: one is unknown, or there is none.
        """
        from fbridge.evaluation.catalogue import find_metrics

        names = [part.strip() for text in self.metrics or () for part in text.split(",")]
        if not any(names):
            raise ConfigError(
                "no metric given; --metric fvd, or several with commas; --list tells all"
            )
        return find_metrics([name for name in names if name])

    def settled(self) -> Protocol:
        """The protocol with what the user changed.

        Raises:
            ConfigError: for values that cannot be.
        """
        from fbridge.evaluation.protocol import find_protocol

        return find_protocol(self.protocol).with_(
            frames=self.frames,
            stride=self.stride,
            size=parse_size(self.size),
            most=self.clips,
            seed=self.seed,
        )

    def point_to_weights(self) -> None:
        """Tell the registry, and the processes that are started, where weights are.

        Raises:
            ConfigError: a network is unknown or its file missing.
        """
        from fbridge.weights import ENTRIES

        for text in self.weights or ():
            name, equals, file = text.partition("=")
            if not equals or name not in ENTRIES:
                raise ConfigError(
                    f"--weights {text}: write NAME=FILE with a name of {', '.join(ENTRIES)}"
                )
            path = home_expanded(file)
            if not Path(path).is_file():
                raise ConfigError(f"--weights {text}: no such file")
            os.environ[ENTRIES[name].variable] = str(path)
