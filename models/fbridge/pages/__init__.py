"""HTML pages in one file: with videos, style and script embedded, they make no requests."""

from fbridge.pages.page import clip_figures, page, video_tag

__all__ = ["clip_figures", "page", "video_tag"]
