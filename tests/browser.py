"""A headless Chromium, where the machine has one, that reports whatever a page does wrong."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def opened(page: Path, *, width: int = 1000, trouble: list[str]) -> Iterator[Any]:
    """A file in the browser; errors and requests to any network are put into `trouble`."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(f"none of {', '.join(NAMES)} is installed")
    driver = pytest.importorskip("playwright.sync_api", exc_type=ImportError)
    with driver.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
        view = browser.new_page(viewport={"width": width, "height": 700})
        view.on("console", lambda m: trouble.append(m.text) if m.type == "error" else None)
        view.on("pageerror", lambda error: trouble.append(str(error)))
        view.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else
                trouble.append(r.url))  # fmt: skip
        view.goto(page.as_uri())
        yield view
        browser.close()
