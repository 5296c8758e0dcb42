"""fbridge: image-to-video by stochastic bridges that start at a picture and end in a video.

    from fbridge import FrameBridgePipeline
    from fbridge.data.pictures import load_picture
    from fbridge.data.video_files import write_video

    pipe = FrameBridgePipeline.from_pretrained("embedded")
    frames = pipe(load_picture("cat.jpg"), "cat jumping", seed=7).frames[0]
    write_video(frames, "cat.mp4", pipe.default_fps)

Importing this package imports nothing else: torch is loaded with the first name that needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fbridge.pipeline import FrameBridgePipeline

__all__ = ["FrameBridgePipeline", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "FrameBridgePipeline":
        from fbridge.pipeline import FrameBridgePipeline

        return FrameBridgePipeline
    raise AttributeError(f"module 'fbridge' has no attribute {name!r}")
