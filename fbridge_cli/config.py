"""`fbridge config`: configurations of training, printed, checked and explained."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fbridge_cli.checks import home_expanded
from fbridge_cli.ui import Ui

if TYPE_CHECKING:
    from fbridge.config import Resolved


def config(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="CONFIG.toml",
            show_default=False,
            help="A configuration to check and complete; without one, all keys are explained.",
        ),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(metavar="NAME", help="Numbers to begin with; see --recipes.")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Any key, such as --set train.precision=bf16; repeatable.",
        ),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Print each key, its value and where it came from.")
    ] = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema, for editors.")
    ] = False,
    recipes: Annotated[bool, typer.Option("--recipes", help="Print the recipes.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help="Write to a new file instead of printing."
        ),
    ] = None,
) -> None:
    """Print a configuration of train-prior and finetune, as it is after all who have a say.

    The command line comes before the environment (FBRIDGE_TRAIN_LR is train.lr),
    that before the file, the recipe and the defaults. Without a file it is a
    start for one's own.

    Example:
        fbridge config --recipe demo -o fbridge.toml

        fbridge config fbridge.toml --set train.lr=1e-5 --explain
    """
    import json

    import fbridge.config as core

    ui = Ui()
    _check(file, recipe, changes, explain=explain, schema=schema, recipes=recipes, out=out)
    if recipes:
        ui.facts(list(core.recipes().items()))
        return
    if schema:
        _tell(json.dumps(core.to_schema(), indent=2) + "\n", out, ui)
        return
    resolved = core.load_config(
        file=None if file is None else home_expanded(file),
        recipe=recipe,
        environment=os.environ,
        options=dict(map(core.parse_change, changes or ())),
    )
    if explain:
        _explain(resolved, ui)
    else:
        _tell(core.to_toml(resolved.config, comments=file is None), out, ui)


def _check(
    file: Path | None,
    recipe: str | None,
    changes: list[str] | None,
    *,
    explain: bool,
    schema: bool,
    recipes: bool,
    out: Path | None,
) -> None:
    """Raise ConfigError for options that do not go together, before anything is done."""
    from fbridge.errors import ConfigError

    asked = {"--explain": explain, "--schema": schema, "--recipes": recipes}
    wanted = [name for name, given in asked.items() if given]
    if len(wanted) > 1:
        raise ConfigError(f"{' and '.join(wanted)}: do not go together; use one of them")
    if (schema or recipes) and (file is not None or recipe is not None or changes):
        raise ConfigError(f"{wanted[0]}: says nothing of one configuration; use it alone")
    if out is not None and (explain or recipes):
        raise ConfigError(f"-o: does not go with {wanted[0]}, which is for reading")


def _tell(text: str, out: Path | None, ui: Ui) -> None:
    from fbridge.errors import ConfigError
    from fbridge.files.atomic import shown, write_text

    if out is None:
        ui.result(text.rstrip("\n"))
        return
    path = home_expanded(out)
    if os.path.lexists(path):
        raise ConfigError(f"{shown(path)}: exists already and stays; give another name with -o")
    write_text(path, text)
    ui.note(f"{shown(path)}: written")


def _explain(resolved: Resolved, ui: Ui) -> None:
    from fbridge.config.values import as_toml

    values = resolved.config.flat()
    rows = [
        (key, "unset" if values[key] is None else as_toml(values[key]), origin)
        for key, origin in resolved.origin.items()
    ]
    ui.table(("key", "value", "from"), rows)
