"""`fbridge config`: configurations of training, printed, checked and explained."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fbridge.checks import home_expanded
from fbridge.errors import ConfigError
from fbridge.files.atomic import shown, write_text
from fbridge_cli.options import INPUT, OUTPUT, option
from fbridge_cli.ui import Ui

if TYPE_CHECKING:
    from fbridge.config import Resolved


def config(
    file: Path | None = typer.Argument(
        None,
        metavar="CONFIG.toml",
        show_default=False,
        help="A configuration to check and complete; without one, all keys are explained.",
    ),
    recipe: str | None = option(
        None, INPUT, "Values to begin with; see --recipes.", metavar="NAME"
    ),
    changes: list[str] | None = option(
        None,
        INPUT,
        "Any key, such as --set train.precision=bf16; repeatable.",
        "--set",
        metavar="KEY=VALUE",
    ),
    explain: bool = option(
        False, OUTPUT, "Print each key, its value and where it came from.", "--explain"
    ),
    schema: bool = option(False, OUTPUT, "Print the JSON schema, for editors.", "--schema"),
    recipes: bool = option(False, OUTPUT, "Print the recipes.", "--recipes"),
    out: Path | None = option(
        None, OUTPUT, "Write to a new file instead of printing.", "--out", "-o", metavar="FILE"
    ),
) -> None:
    """Print the resolved configuration of train-prior and finetune.

    The command line takes precedence over the environment (FBRIDGE_TRAIN_LR is
    train.lr), that over the file, the recipe and the defaults. Without a file,
    print one to begin with.

    Example:
        fbridge config --recipe demo -o fbridge.toml

        fbridge config fbridge.toml --set train.lr=1e-5 --explain
    """
    import json

    import fbridge.config as core

    ui = Ui()
    chosen = [
        name
        for name, given in (("explain", explain), ("schema", schema), ("recipes", recipes))
        if given
    ]
    if len(chosen) > 1:
        wanted = " and ".join(f"--{name}" for name in chosen)
        raise ConfigError(f"{wanted}: do not go together; use one of them")
    if (schema or recipes) and (file is not None or recipe is not None or changes):
        raise ConfigError(f"--{chosen[0]}: says nothing of one configuration; use it alone")
    if out is not None and (explain or recipes):
        raise ConfigError(f"-o: does not go with --{chosen[0]}, which is for reading")
    if recipes:
        ui.facts(list(core.recipes().items()))
        return
    if schema:
        _write(json.dumps(core.to_schema(), indent=2) + "\n", out, ui)
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
        _write(core.to_toml(resolved.config, comments=file is None), out, ui)


def _write(text: str, out: Path | None, ui: Ui) -> None:
    if out is None:
        ui.result(text.rstrip("\n"))
        return
    path = home_expanded(out)
    write_text(path, text, overwrite=False)
    ui.note(f"{shown(path)}: written")


def _explain(resolved: Resolved, ui: Ui) -> None:
    from fbridge.config.values import as_toml

    values = resolved.config.flat()
    rows = [
        (key, "unset" if values[key] is None else as_toml(values[key]), origin)
        for key, origin in resolved.origin.items()
    ]
    ui.table(("key", "value", "from"), rows)
