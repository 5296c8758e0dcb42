"""`fbridge weights`: third-party networks that metrics need, listed, fetched and verified."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from fbridge.checks import did_you_mean, home_expanded
from fbridge.errors import CheckpointError, ConfigError, DataError
from fbridge.files.atomic import shown
from fbridge_cli.options import INPUT, Json, option
from fbridge_cli.ui import Ui

if TYPE_CHECKING:
    from fbridge.weights import WeightsFile

Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="NAME", show_default=False, help="Names from fbridge weights list."),
]


def build_weights() -> typer.Typer:
    """The commands below `fbridge weights`."""
    app = typer.Typer(
        name="weights",
        help="Third-party networks that metrics need: list, fetch, verify.",
        no_args_is_help=True,
    )
    app.command("list")(list_weights)
    app.command("fetch")(fetch_weights)
    app.command("verify")(verify_weights)
    return app


def list_weights(json: Json = False) -> None:
    """List the networks: use, size, licence, and whether the file is here.

    Example:
        fbridge weights list
    """
    from fbridge.weights import ENTRIES, find_weights

    places = {}
    for name, entry in ENTRIES.items():
        try:
            places[name] = shown(find_weights(entry))
        except CheckpointError:
            places[name] = ""
    ui = Ui(machine=json)
    if json:
        ui.json(
            [
                {
                    "name": name,
                    "use": entry.use,
                    "file": entry.file,
                    "bytes": entry.size,
                    "sha256": entry.sha256,
                    "licence": entry.licence,
                    "variable": entry.variable,
                    "urls": list(entry.urls),
                    "requirement": entry.requirement,
                    "path": places[name] or None,
                }
                for name, entry in ENTRIES.items()
            ]
        )
        return
    ui.table(
        ["name", "for", "size", "licence", "where"],
        [
            [
                name,
                entry.use,
                _size(entry.size),
                entry.licence,
                places[name]
                or ("not here" if entry.sha256 else "only where it is named, unverified"),
            ]
            for name, entry in ENTRIES.items()
        ],
    )


def fetch_weights(
    names: Names = None, every: bool = option(False, INPUT, "All that have an address.", "--all")
) -> None:
    """Download networks into the cache; an interrupted download is continued.

    Example:
        fbridge weights fetch inception

        fbridge weights fetch --all
    """
    from fbridge.weights import ENTRIES, find_weights
    from fbridge.weights.fetch import FetchBegun, fetch
    from fbridge.weights.files import usual_place

    ui = Ui()
    if every == bool(names):
        raise ConfigError("fbridge weights fetch: name networks, or say --all")
    twins = {entry.twin for entry in ENTRIES.values()}
    able = [e for e in ENTRIES.values() if e.can_be_fetched and e not in twins]
    for entry in able if every else _named(names or []):
        there = usual_place(entry)
        if there is not None:
            ui.note(f"{entry.name}: is here already, {shown(there)}")
            continue
        with ui.progress(None, "MiB") as bar:
            for event in fetch(entry):
                if isinstance(event, FetchBegun):
                    ui.note(event.text)
                else:
                    bar.show(event.name, event.done >> 20, event.total >> 20)
        ui.result(f"{entry.name}: {shown(find_weights(entry))}")


def verify_weights(names: Names = None) -> None:
    """Hash what is here; exit code 3 when a file is not the genuine one.

    Example:
        fbridge weights verify
    """
    from fbridge.weights import ENTRIES, find_weights, verify

    ui = Ui()
    wrong = []
    for entry in _named(names) if names else list(ENTRIES.values()):
        try:
            path = find_weights(entry)
        except CheckpointError:
            ui.result(f"{entry.name}: not here")
            continue
        try:
            verify(entry, path)
        except CheckpointError as error:
            wrong.append(entry.name)
            ui.error(str(error))
        else:
            ui.result(f"{entry.name}: genuine, {shown(path)}")
    if wrong:
        raise DataError(f"{', '.join(wrong)}: not genuine; delete the files, fetch them again")


def use_weights(named: list[str]) -> None:
    """Set the variables by which this process and its workers find weights."""
    from fbridge.weights import ENTRIES

    for text in named:
        name, equals, file = text.partition("=")
        if not equals or name not in ENTRIES:
            raise ConfigError(
                f"--weights {text}: write NAME=FILE with a name of {', '.join(ENTRIES)}"
            )
        path = home_expanded(file)
        if not path.is_file():
            raise ConfigError(f"--weights {text}: no such file")
        os.environ[ENTRIES[name].variable] = str(path)


def _named(names: list[str]) -> list[WeightsFile]:
    from fbridge.weights import ENTRIES

    for name in names:
        if name not in ENTRIES:
            near = did_you_mean(name, list(ENTRIES))
            raise ConfigError(f"{name}: unknown{near}; there are {', '.join(ENTRIES)}")
    return [ENTRIES[name] for name in names]


def _size(number: int) -> str:
    if not number:
        return "unknown"
    return f"{number / 2**20:.1f} MiB" if number >= 2**20 else f"{number / 2**10:.0f} KiB"
