"""Videos of held-out clips: picture, prior, generated video and real video side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fbridge.codecs import Codec, View
from fbridge.codecs.frames import decode_frames
from fbridge.data.contact_sheet import stack, strips
from fbridge.data.video_files import write_video
from fbridge.data.video_writers import Frames
from fbridge.files.atomic import replacing
from fbridge.train.batches import TrainingBatch
from fbridge.train.validation.scores import HeldOut
from fbridge.train.wordless import view_of, without_words
from fbridge.types import Condition

_REMEDY = 'set train.precision to "bf16" or "fp32", or take a lower train.lr'


class Written(NamedTuple):
    """What was written, and how near the videos are.

    Attributes:
        files: `sheet.png`, then the videos; none on a process that writes nothing.
        captions: of the clips.
        columns: names of the videos that are side by side in a file.
        scores: "psnr_<name>" of each column and of the repeated picture, in decibels against the
            decoded real video.
    """

    files: tuple[Path, ...] = ()
    captions: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    scores: Mapping[str, float] = MappingProxyType({})


class Column(NamedTuple):
    """One of the videos side by side: its name, and how latents are made from a batch."""

    name: str
    make: Callable[[TrainingBatch], Tensor]


@dataclass(frozen=True)
class ValidationVideos:
    """Writes videos of the same held-out clips at every validation.

    Attributes:
        held_out: the clips.
        count: number of clips.
        codec: decodes latents.
        fps: frame rate of the videos.
    """

    held_out: HeldOut
    count: int
    codec: Codec
    fps: float

    @torch.no_grad()
    def write(
        self,
        columns: Sequence[Column],
        folder: Path | None,
        device: torch.device,
        pause: Callable[[], None] = lambda: None,
    ) -> Written:
        """Write one video per clip, and `sheet.png` of all, into `folder`.

        Args:
            columns: between picture and real video.
            folder: None on a process that takes part but writes nothing.
            device: of the networks.
            pause: called before each batch.
        """
        sheets: list[Image.Image] = []
        files: list[Path] = []
        captions: list[str] = []
        names = ("repeated", *(column.name for column in columns))
        titles = ("picture", *names[1:], "truth")
        psnr: dict[str, list[float]] = {name: [] for name in names}
        for key, caption, videos in self._clips(columns, device, pause):
            *others, truth = videos
            for name, video in zip(names, others, strict=True):
                psnr[name].append(_psnr(video, truth))
            if folder is None:
                continue
            captions.append(caption)
            sheets.append(strips(key, caption, videos, titles))
            path = folder / f"{len(sheets):02d}.mp4"
            write_video(np.concatenate(videos, axis=2), path, self.fps)
            files.append(path)
        if folder is not None and sheets:
            sheet = folder / "sheet.png"
            with replacing(sheet) as hidden:
                stack(sheets).save(hidden, format="PNG")
            files.insert(0, sheet)
        scores = {f"psnr_{name}": float(np.mean(values)) for name, values in psnr.items() if values}
        return Written(tuple(files), tuple(captions), titles, scores)

    def without_words(self, batch: TrainingBatch) -> Condition:
        """The batch's condition with the empty prompt, for guidance."""
        return without_words(batch, self.held_out.clips, self.codec)

    def _clips(
        self, columns: Sequence[Column], device: torch.device, pause: Callable[[], None]
    ) -> Iterator[tuple[str, str, list[Frames]]]:
        """Key, caption and videos of each clip."""
        left = self.count
        data = self.held_out.clips.dataset
        for rows in self.held_out.batches:
            rows = rows[:left]
            if not rows:
                return
            left -= len(rows)
            pause()
            batch = self.held_out.batch(rows, 0, device)
            view = view_of(batch, data, self.codec)
            latents = [batch.still, *(column.make(batch) for column in columns), batch.clean]
            videos = [self._frames(part, view) for part in latents]
            for i, row in enumerate(rows):
                caption = (data.captions(row) or [""])[0]
                key = str(data.record(row)["key"])
                yield key, caption, [video[i] for video in videos]

    def _frames(self, latents: Tensor, view: View) -> list[Frames]:
        with torch.autocast(latents.device.type, enabled=False):  # some codecs overflow in half
            return decode_frames(self.codec, latents.float(), view, remedy=lambda: _REMEDY)


def _psnr(video: Frames, truth: Frames) -> float:
    """Peak signal-to-noise ratio in decibels over all frames but the first, which is the input."""
    error = (video[1:].astype(np.float64) - truth[1:].astype(np.float64)) ** 2
    return float(10 * np.log10(255**2 / max(1e-9, float(error.mean())))) if error.size else 0.0
