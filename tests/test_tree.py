"""The files of the checkout: what git ignores is left out of wheels and by linters."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is no checkout of git")
@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_no_tracked_file_is_ignored() -> None:
    """A package of a name such as build/ would be missing from the wheel without a word."""
    line = ["git", "-C", str(ROOT), "ls-files", "--cached", "--ignored", "--exclude-standard"]
    assert subprocess.run(line, capture_output=True, text=True, check=True).stdout == ""
