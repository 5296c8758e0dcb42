"""The first line of an error, which messages quote."""

from __future__ import annotations

import pytest

from fbridge.errors import reason


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("one\ntwo"), "one"),
        (ValueError("\n  one\n"), "one"),
        (ValueError(), "ValueError"),  # what has no message is named by its type
        (OSError("  "), "OSError"),
    ],
)
def test_the_first_line_of_an_error(error: Exception, line: str) -> None:
    assert reason(error) == line
