"""The frame of a page, and videos as parts of it."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from html import escape
from importlib import resources

from torch import Tensor

from fbridge.pages.media import encode_jpeg, encode_webm

_POLICY = (
    "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'"
)


def page(title: str, parts: Iterable[str]) -> str:
    """A whole page, light or dark as the browser asks, that may load nothing.

    Args:
        title: as text.
        parts: of its body, as HTML.
    """
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_file('page.css')}</style></head>"
        f"<body><main>{''.join(parts)}</main><script>{_file('page.js')}</script></body></html>\n"
    )


def clip_figures(videos: Iterable[tuple[str, Tensor]], fps: float, of: str) -> str:
    """Named videos (T, H, W, 3) uint8 side by side; the script plays those in view together.

    Args:
        videos: each with its name.
        fps: frames per second.
        of: what they are videos of, for screen readers.
    """
    figures = [
        f"<figure>{video_tag(frames, fps, f'{name} of {of}')}"
        f"<figcaption>{escape(name, quote=False)}</figcaption></figure>"
        for name, frames in videos
    ]
    if not figures:
        return ""
    return f'<div class="videos" style="--columns: {len(figures)}">{"".join(figures)}</div>'


def video_tag(frames: Tensor, fps: float, label: str) -> str:
    """A video tag with the first frame as poster; for a single frame, an image tag."""
    still = f"data:image/jpeg;base64,{base64.b64encode(encode_jpeg(frames[0])).decode()}"
    if len(frames) == 1:
        return f'<img src="{still}" alt="{escape(label)}">'
    data = base64.b64encode(encode_webm(frames, fps)).decode()
    return (
        f'<video muted loop playsinline preload="auto" poster="{still}" '
        f'src="data:video/webm;base64,{data}" aria-label="{escape(label)}"></video>'
    )


def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
