"""Held-out clips made visible: picture, prior, what is generated, and the truth, side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fbridge.codecs import Codec, View
from fbridge.data.contact_sheet import stack, strips
from fbridge.data.latents import LatentDataset
from fbridge.data.video_files import write_video
from fbridge.data.video_writers import Frames
from fbridge.files.atomic import replacing
from fbridge.train.batches import TrainingBatch
from fbridge.train.validation.scores import HeldOut


@dataclass(frozen=True)
class Strip:
    """One kind of video of all clips shown: its name, and how a batch becomes latents."""

    name: str
    make: Callable[[TrainingBatch], Tensor]


@dataclass(frozen=True)
class Gallery:
    """Clips that are shown at every validation.

    Attributes:
        held_out: where they are from.
        count: how many.
        codec: back to pixels.
        fps: of the videos written.
    """

    held_out: HeldOut
    count: int
    codec: Codec
    fps: float

    @torch.no_grad()
    def show(
        self,
        made: Sequence[Strip],
        folder: Path | None,
        device: torch.device,
        pause: Callable[[], None] = lambda: None,
    ) -> tuple[tuple[Path, ...], dict[str, float]]:
        """Write a video for each clip and `sheet.png` of all into `folder`.

        Args:
            made: what is shown between picture and truth.
            folder: where; None on a process that writes nothing but computes along.
            device: where the networks are.
            pause: called before each batch of clips.

        Returns:
            The files, and "psnr_<name>" of each kind, and of the repeated picture, in decibels
            against the decoded truth.
        """
        sheets: list[Image.Image] = []
        files: list[Path] = []
        names = ("repeated", *(strip.name for strip in made))
        psnr: dict[str, list[float]] = {name: [] for name in names}
        for clip in self._clips(made, device, pause):
            *shown, truth = clip.videos
            for name, video in zip(names, shown, strict=True):
                psnr[name].append(_psnr(video, truth))
            if folder is None:
                continue
            called = ("picture", *names[1:], "truth")
            sheets.append(strips(clip.key, clip.caption, clip.videos, called))
            path = folder / f"{len(sheets):02d}.mp4"
            write_video(np.concatenate(clip.videos, axis=2), path, self.fps)
            files.append(path)
        if folder is not None and sheets:
            sheet = folder / "sheet.png"
            with replacing(sheet) as hidden:
                stack(sheets).save(hidden, format="PNG")
            files.insert(0, sheet)
        scores = {f"psnr_{name}": float(np.mean(values)) for name, values in psnr.items() if values}
        return tuple(files), scores

    def _clips(
        self, made: Sequence[Strip], device: torch.device, pause: Callable[[], None]
    ) -> Iterator[_Clip]:
        left = self.count
        data = self.held_out.clips.dataset
        for rows in self.held_out.batches:
            rows = rows[:left]
            if not rows:
                return
            left -= len(rows)
            pause()
            batch = self.held_out.batch(rows, 0, device)
            view = look_again(self.codec, data, batch, device)
            latents = [batch.still, *(strip.make(batch) for strip in made), batch.clean]
            videos = [self._frames(part, view) for part in latents]
            for place, row in enumerate(rows):
                caption = (data.captions(row) or [""])[0]
                key = str(data.record(row)["key"])
                yield _Clip(key, caption, [video[place] for video in videos])

    def _frames(self, latents: Tensor, view: View) -> list[Frames]:
        with torch.autocast(latents.device.type, enabled=False):  # some codecs overflow in half
            videos = self.codec.decode(latents.float(), view)
        return [
            (video * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
            for video in videos
        ]


@dataclass(frozen=True)
class _Clip:
    key: str
    caption: str
    videos: list[Frames]


def look_again(
    codec: Codec, data: LatentDataset, batch: TrainingBatch, device: torch.device
) -> View:
    """The view that a codec decodes a batch with: from the stored pictures, where it needs them."""
    if not codec.needs_picture:
        return View(batch.condition.image_latents, None, ())
    pictures = []
    for row in batch.rows.tolist():
        picture = data[row].picture
        assert picture is not None, "a codec that needs pictures has stored them"
        pictures.append(picture.to(device).float() / 255)
    return codec.view(pictures, batch.condition.prompt_embeds, batch.condition.prompt_mask)


def _psnr(video: Frames, truth: Frames) -> float:
    """Peak signal-to-noise ratio in decibels over all frames but the first, which is given."""
    error = (video[1:].astype(np.float64) - truth[1:].astype(np.float64)) ** 2
    return float(10 * np.log10(255**2 / max(1e-9, float(error.mean())))) if error.size else 0.0
