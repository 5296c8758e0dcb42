"""Tests of clusters may connect to this machine."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _no_network() -> None:
    """In the place of the fixture of this name, which refuses connections to this machine, too."""
