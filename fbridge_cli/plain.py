"""Text that is safe to print on a terminal."""

from __future__ import annotations

import re

from rich.text import Text

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def plain(text: str) -> Text:
    """Text with control characters replaced, which could move the cursor or change colours."""
    return Text(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", text))
