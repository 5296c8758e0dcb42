"""Recipes: files of the package with the numbers of a known way to train."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent / "recipes"


def recipes() -> dict[str, str]:
    """Names of the recipes, and what each is, which is its file's first line."""
    return {
        path.stem: path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        for path in sorted(_FOLDER.glob("*.toml"))
    }


def recipe_file(name: str) -> Path:
    """The file of one of `recipes`."""
    return _FOLDER / f"{name}.toml"
