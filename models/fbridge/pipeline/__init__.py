"""FrameBridgePipeline: from a picture and a prompt to a video.

Importing this package imports nothing else: diffusers is imported with the first name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fbridge.pipeline.pipeline import FrameBridgeOutput, FrameBridgePipeline

__all__ = ["FrameBridgeOutput", "FrameBridgePipeline"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'fbridge.pipeline' has no attribute {name!r}")
    from fbridge.pipeline import pipeline

    return getattr(pipeline, name)
