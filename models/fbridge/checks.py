"""Checks of single values, with the error that names the option, the value and the way out.

Nothing here imports torch, so that a command line fails fast.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from fbridge.choices import DEVICES
from fbridge.errors import ConfigError

SIDES = (16, 8192)
"""Smallest and largest width and height of a video, in pixels."""
MOST_FPS = 240.0
MOST_BATCH = 1024
MOST_PIXELS = 2**28
"""Pixels of all frames of one video: 256 frames of 1024x1024."""
URL_PLACES = (
    "only SOURCE, --media-root, -o and --verify of fbridge prepare, IMAGE, --model and -o of "
    "generate, GENERATED, --reference, -o and --report of eval, and --data, --prior and -o of "
    "training may be URLs"
)
"""What takes URLs, as errors say it."""
USUAL_WAY = f"is a URL, which is not taken here ({URL_PLACES}); use a local path"
_MODELS = ("--base", "base", "--model", "MODEL", "--components", "components", "--codec")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.:-]+:(/|$)")
"""One letter before the colon would be a drive of Windows."""


def check_choice(option: str, value: str, allowed: Iterable[str]) -> None:
    """Raise ConfigError, with the nearest allowed name, unless `value` is allowed."""
    allowed = tuple(allowed)
    if value not in allowed:
        raise ConfigError(
            f"{option} {value}: unknown{did_you_mean(value, allowed)}; use {', '.join(allowed)}"
        )


def check_range(option: str, value: float | None, lowest: float, highest: float) -> None:
    """Raise ConfigError unless `value` is None or within the bounds; NaN is not."""
    if value is None or lowest <= value <= highest:
        return
    bounds = f"from {lowest:g} to {highest:g}" if math.isfinite(highest) else f"{lowest:g} or more"
    raise ConfigError(f"{option} {value:g}: must be {bounds}")


def check_device(name: str) -> None:
    """Raise ConfigError unless `name` is auto, a kind of device, or a numbered one: cuda:1."""
    check_choice("--device", re.sub(r"^(cuda|xpu):\d+$", r"\1", name), DEVICES)


def check_fps(fps: float | None) -> None:
    """Raise ConfigError unless `fps` is None or a possible frame rate."""
    if fps is not None and not 0 < fps <= MOST_FPS:
        raise ConfigError(f"--fps {fps:g}: must be above 0 and at most {MOST_FPS:g}")


def check_work(frames: int, size: tuple[int, int]) -> None:
    """Raise ConfigError when a video would have more than `MOST_PIXELS` pixels."""
    pixels = frames * size[0] * size[1]
    if pixels > MOST_PIXELS:
        raise ConfigError(
            f"{frames} frames of {size[0]}x{size[1]}: are {pixels / 1e6:.0f} million pixels, "
            f"a video may have {MOST_PIXELS / 1e6:.0f}; use fewer --frames or a smaller --size"
        )


def check_text(text: str, where: str) -> None:
    """Raise ConfigError when `text` cannot be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{where}: is not valid UTF-8; check the terminal's encoding") from None


def is_url(text: Path | str) -> bool:
    """Whether a text is a URL such as s3://bucket/videos, also as a `Path`, which drops a slash."""
    return _URL.match(str(text).strip()) is not None


def check_no_url(where: str, text: str) -> None:
    """Raise ConfigError if a text is a URL that would be taken for a path.

    Web addresses of models stay: their loaders know the hub id that is meant.
    """
    if is_url(text) and (where not in _MODELS or not text.startswith("http")):
        url = re.sub(":/+", "://", text, count=1)
        raise ConfigError(f"{where} {url}: {USUAL_WAY}")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A suggestion to append to an error, or the empty text."""
    near = get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return f", did you mean {near[0]}?" if near else ""


def home_expanded(path: Path | str) -> Path:
    """The path with `~` expanded; unchanged where there is no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def parse_size(text: str | None) -> tuple[int, int] | None:
    """(width, height) of "512x320".

    Raises:
        ConfigError: the text is not of that form, or a side is out of bounds.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,6})[xX\u00d7](\d{1,6})", text.strip())
    if match is None:
        raise ConfigError(f"--size {text}: is not WIDTHxHEIGHT; write it like 512x320")
    size = int(match[1]), int(match[2])
    if not all(SIDES[0] <= side <= SIDES[1] for side in size):
        raise ConfigError(f"--size {text}: each side must be from {SIDES[0]} to {SIDES[1]} pixels")
    return size


def parse_bytes(option: str, text: str) -> int:
    """Bytes of "500MB" or "20GB", in powers of ten.

    Raises:
        ConfigError: the text is not of that form.
    """
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)\s*([KMGT]?)B?", text.strip().upper())
    if match is None:
        raise ConfigError(f"{option} {text}: is no size; write it like 500MB or 20GB")
    return int(float(match[1]) * 1000 ** " KMGT".index(match[2] or " "))


def parse_percent(option: str, text: str) -> float:
    """The share that "1%" is.

    Raises:
        ConfigError: when it is no percentage from 0% to 100%.
    """
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{0,9})?)\s*%", text.strip())
    if match is None:
        raise ConfigError(f"{option} {text}: is no percentage; write it like 1% or 0.5%")
    if float(match[1]) > 100:
        raise ConfigError(f"{option} {text}: must be from 0% to 100%")
    return float(match[1]) / 100
