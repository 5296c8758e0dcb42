"""From latents to the frames of videos; numbers that are not finite are refused, not drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fbridge.codecs import Codec, View
from fbridge.errors import CheckpointError


def decode_frames(
    codec: Codec, latents: Tensor, view: View, *, remedy: Callable[[], str]
) -> list[NDArray[np.uint8]]:
    """Decode latents (B, F, C, H, W) to videos, uint8 (F, H, W, 3).

    Args:
        codec: of the latents.
        latents: normalised.
        view: of the pictures that the videos start with.
        remedy: called for what the user can do about numbers that are not finite.

    Raises:
        CheckpointError: latents or pixels of a video are not finite. A cast to whole numbers would
            make black frames of them.
    """
    check_finite(latents, "latents", remedy)
    videos = codec.decode(latents, view)
    check_finite(videos, "decoded frames", remedy)
    return [
        (video * 255).round_().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy() for video in videos
    ]


def check_finite(videos: Iterable[Tensor], what: str, remedy: Callable[[], str]) -> None:
    """Raise CheckpointError, which names the videos, unless all numbers of all videos are finite.

    Args:
        videos: the tensors of each.
        what: they hold.
        remedy: gives the end of the message.
    """
    bad = [str(i) for i, video in enumerate(videos, 1) if not bool(video.isfinite().all())]
    if bad:
        raise CheckpointError(
            f"the {what} of video {', '.join(bad)} of this batch hold NaN or infinity; {remedy()}"
        )
