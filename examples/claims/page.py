"""docs/claims.md and its plots, from stored results alone."""

from __future__ import annotations

from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def write(results: Path, docs: Path) -> None:
    """Write the page."""
