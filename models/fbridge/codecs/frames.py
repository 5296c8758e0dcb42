"""From latents to the frames of videos; numbers that are not finite are refused, not drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fbridge.codecs import Codec, InParts, View
from fbridge.errors import CheckpointError

OnFrames: TypeAlias = Callable[[int, NDArray[np.uint8]], None]
"""Called with the number of a video and its next frames, uint8 (f, H, W, 3)."""


def decode_frames(
    codec: Codec,
    latents: Tensor,
    view: View,
    *,
    remedy: Callable[[], str],
    on_frames: OnFrames | None = None,
) -> list[NDArray[np.uint8]]:
    """Decode latents (B, F, C, H, W) to videos, uint8 (F, H, W, 3).

    Args:
        codec: of the latents.
        latents: normalised.
        view: of the pictures that the videos start with.
        remedy: called for what the user can do about numbers that are not finite.
        on_frames: called with each part of a video as soon as it is decoded, see `OnFrames`.

    Raises:
        CheckpointError: latents or pixels of a video are not finite. A cast to whole numbers would
            make black frames of them.
    """
    check_finite(latents, "latents", remedy)
    videos: list[list[NDArray[np.uint8]]] = [[] for _ in latents]
    for row, part in _decoded(codec, latents, view):
        if part.dtype != torch.uint8:
            check_finite([part], "decoded frames", remedy, first=row + 1)
            part = (part * 255).round_().to(torch.uint8)
        pixels = part.permute(0, 2, 3, 1).contiguous()
        videos[row].append(pixels.cpu().numpy())
        if on_frames is not None:
            on_frames(row, videos[row][-1])
    return [parts[0] if len(parts) == 1 else np.concatenate(parts) for parts in videos]


def _decoded(codec: Codec, latents: Tensor, view: View) -> Iterator[tuple[int, Tensor]]:
    if isinstance(codec, InParts):
        return codec.decode_parts(latents, view)
    return enumerate(codec.decode(latents, view))


def check_finite(
    videos: Iterable[Tensor], what: str, remedy: Callable[[], str], *, first: int = 1
) -> None:
    """Raise CheckpointError, which names the videos, unless all numbers of all videos are finite.

    Args:
        videos: the tensors of each.
        what: they hold.
        remedy: gives the end of the message.
        first: number of the first video.
    """
    bad = [str(i) for i, video in enumerate(videos, first) if not bool(video.isfinite().all())]
    if bad:
        raise CheckpointError(
            f"the {what} of video {', '.join(bad)} of this batch hold NaN or infinity; {remedy()}"
        )
