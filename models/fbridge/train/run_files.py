"""Files in a run's folder: config.toml, run.json with facts, metrics.csv with curves."""

from __future__ import annotations

import csv
import json
import platform
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from fbridge.config.tree import Config
from fbridge.config.write import to_toml
from fbridge.errors import CheckpointError, ConfigError
from fbridge.files.atomic import remove_leftovers, replacing, shown, write_failure, write_text
from fbridge.files.locks import HeldError, Lock
from fbridge.files.schema import form_fault
from fbridge.train.request import CONFIG as CONFIG
from fbridge.train.request import RUN_FACTS
from fbridge.train.run_form import RunForm

FORMAT = 1
FACTS, CURVES, LOCK = RUN_FACTS, "metrics.csv", ".lock"
DAMAGED = "metrics-damaged.csv"
PACKAGES = ("fbridge", "torch", "diffusers", "transformers", "accelerate", "peft", "safetensors")
_WIDEST = 64
"""Most characters of a number in metrics.csv."""

Row = Mapping[str, float]


@contextmanager
def locked_run(run: Path) -> Iterator[bool]:
    """Keep other processes from training in a run's folder, and remove what a killed one left.

    Yields whether the file system has locks. Folders that are made for it are removed
    again if nothing came into them.

    Raises:
        ConfigError: another process trains there.
        DependencyError: nothing can be written there.
    """
    made = [folder for folder in (run, *run.parents) if not folder.exists()]
    try:
        run.mkdir(parents=True, exist_ok=True)
        lock = Lock(run / LOCK)
    except HeldError:
        raise ConfigError(
            f"{shown(run)}: another training is at work there; wait for it, or name another folder "
            "with -o"
        ) from None
    except OSError as error:
        raise write_failure(run, error) from None
    try:
        remove_leftovers(run)
        yield lock.works
    finally:
        lock.release()
        with suppress(OSError):  # one that is not empty stays, with those above it
            for folder in made:
                folder.rmdir()


def write_run(run: Path, config: Config, facts: Mapping[str, Any]) -> None:
    """Write config.toml and run.json, each atomically."""
    write_text(run / CONFIG, to_toml(config, comments=False))
    write_text(run / FACTS, json.dumps({"format": FORMAT, **facts}, indent=1) + "\n")


def read_facts(run: Path) -> dict[str, Any]:
    """The facts of a run.

    Raises:
        CheckpointError: the folder is no run, or a newer fbridge wrote it.
    """
    path = run / FACTS
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = facts["format"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise CheckpointError(
            f"{shown(run)}: is no run of fbridge train-prior or finetune; {FACTS} is missing or "
            "damaged"
        ) from None
    if version != FORMAT:
        raise CheckpointError(
            f"{shown(path)}: has format {version}, this fbridge reads {FORMAT}; use the fbridge "
            "that wrote it, or a newer one"
        )
    if fault := form_fault(RunForm, facts):
        raise CheckpointError(
            f"{shown(path)}: is damaged ({fault}); --resume of the run writes it again"
        )
    return facts


def environment_facts() -> dict[str, Any]:
    """Versions of the packages that affect results, and the commit if the code is a checkout."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "none"
    return {"versions": found, "git": _git()}


class Curves:
    """metrics.csv: one row per report, one column per value; absent values are empty.

    Resuming drops the rows after the resumed step.
    """

    def __init__(self, run: Path) -> None:
        self.path = run / CURVES
        self._columns: list[str] = ["step"]

    def begin(self, step: int) -> str:
        """Keep the rows up to a step; returns a warning, where some are damaged, else "".

        A curve is never a reason not to train: a damaged file goes on without the rows that cannot
        be read, and stays under another name.
        """
        rows, damaged = _read_rows(self.path) if step else ([], 0)
        kept = [row for row in rows if row["step"] <= step]
        if damaged:
            with suppress(OSError):
                self.path.replace(self.path.with_name(DAMAGED))
        self._columns = list(dict.fromkeys(["step", *(name for row in kept for name in row)]))
        self._write(kept)
        if not damaged:
            return ""
        return (
            f"{shown(self.path)}: {damaged} damaged rows are left out; the file as it was is "
            f"{DAMAGED} beside it"
        )

    def add(self, step: int, values: Row) -> None:
        """Append a row."""
        new = [name for name in values if name not in self._columns]
        if new:
            self._columns += new
            self._write(read_curves(self.path))
        row = {"step": step, **values}
        try:
            with self.path.open("a", newline="", encoding="utf-8") as file:
                csv.writer(file).writerow([row.get(name, "") for name in self._columns])
        except OSError as error:
            raise write_failure(self.path, error) from None

    def _write(self, rows: Iterable[Row]) -> None:
        with replacing(self.path) as hidden, hidden.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self._columns)
            writer.writeheader()
            writer.writerows(rows)


def read_curves(path: Path) -> list[dict[str, float]]:
    """The rows of a metrics.csv without those that are damaged or cut off."""
    return _read_rows(path)[0]


def _read_rows(path: Path) -> tuple[list[dict[str, float]], int]:
    """The rows that can be read, and how many others there are but an incomplete last one."""
    if not path.is_file():
        return [], 0
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):  # cut off, as by a power failure
        del lines[-1]
    found: list[dict[str, float]] = []
    names: list[str] = []
    for number, line in enumerate(lines):
        try:
            (cells,) = csv.reader([line])
            if number == 0:
                names = cells
                continue
            texts = {name: text for name, text in zip(names, cells, strict=True) if text}
            if max(map(len, cells)) > _WIDEST:
                continue
            row = {name: float(text) for name, text in texts.items()}
            found.append({**row, "step": int(texts["step"])})
        except (csv.Error, ValueError, KeyError):
            continue
    return found, max(0, len(lines) - 1) - len(found)


def _git() -> str:
    """Commit of the checkout that fbridge runs from, with "+" if modified; else ""."""
    folder = Path(__file__).parent

    def git(*args: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(folder), *args], capture_output=True, text=True, timeout=10
        )
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        if not git("ls-files", "--error-unmatch", Path(__file__).name):
            return ""
        commit = git("rev-parse", "HEAD")
        return commit + ("+" if commit and git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return ""
