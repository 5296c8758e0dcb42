"""A picture and a prompt to try a run with: of a held-out clip, else of one it was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from fbridge.codecs import Codec, View
from fbridge.codecs.frames import decode_frames
from fbridge.data.latents import LatentSample
from fbridge.data.video_writers import Frames
from fbridge.files.atomic import replacing
from fbridge.train.setup.session import Session

PICTURE = "example.png"
_AMONG = 16
"""Clips that are looked at for the one that moves most."""
_NO_CAPTION = "it moves"


@dataclass(frozen=True)
class Example:
    """A picture in the run's folder, and what shall happen in it."""

    picture: Path
    prompt: str


def write_example(session: Session) -> Example:
    """Write the first frame of a clip as RUN/example.png.

    Of the first clips it is one with a caption, if there is any, and of those the one whose latents
    are furthest from the repeated picture's.

    Raises:
        CheckpointError: the decoded frame is not finite.
        DependencyError: it cannot be written.
    """
    parts = session.material.parts
    clips = parts.held_out if len(parts.held_out) else parts.training
    samples = [clips[row] for row in range(min(_AMONG, len(clips)))]
    sample = max(samples, key=lambda one: (bool(one.caption.strip()), _motion(one)))
    device = session.training.accelerator.device
    path = session.run / PICTURE
    with replacing(path) as hidden:
        pixels = _first_frame(sample, session.material.codec.codec, device)
        Image.fromarray(pixels).save(hidden, format="PNG")
    return Example(path, _prompt(sample, session.model.about.get("classes")))


def _motion(sample: LatentSample) -> float:
    return float((sample.clip.float() - sample.still.float()).square().mean())


@torch.no_grad()
def _first_frame(sample: LatentSample, codec: Codec, device: torch.device) -> Frames:
    """(H, W, 3) uint8."""
    if sample.picture is not None:
        return sample.picture.permute(1, 2, 0).contiguous().numpy()
    latents: Tensor = sample.still[:1][None].float().to(device)
    view = View(sample.condition[None].float().to(device), None, ())
    (frames,) = decode_frames(codec, latents, view, remedy=lambda: "prepare the data again")
    return frames[0]


def _prompt(sample: LatentSample, classes: list[str] | None) -> str:
    """The caption on one line; of a class-conditional model the name of the clip's class."""
    if classes:
        return classes[max(0, sample.label)]
    return " ".join(sample.caption.split()) or _NO_CAPTION
