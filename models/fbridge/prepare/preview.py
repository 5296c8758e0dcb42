"""Preview of a data set: a contact sheet, and one decoded clip of every bucket."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from fbridge.codecs.frames import decode_frames
from fbridge.data.contact_sheet import stack, strips
from fbridge.data.latents import LatentDataset
from fbridge.data.video.buckets import parse_buckets
from fbridge.data.video.clip import decode_clip
from fbridge.data.video_files import write_video
from fbridge.files.atomic import replacing
from fbridge.loaders.codec import LoadedCodec
from fbridge.prepare.models import load_models
from fbridge.prepare.pinned import recorded_media
from fbridge.prepare.request import PrepareRequest
from fbridge.words.encoder import PromptEncoder

ROWS = 3
_REMEDY = "prepare the videos with --dtype float32"
Frames = npt.NDArray[np.uint8]


def write_preview(request: PrepareRequest) -> list[Path]:
    """Write DIR/preview/sheet.png and DIR/preview/<bucket>.mp4 of a finished data set.

    In the sheet each clip has two strips: its frames, cropped and resized, and the frames that the
    codec decodes from the stored latents.

    Raises:
        DataError: a source video is missing or has changed.
    """
    dataset = LatentDataset(request.out)
    codec, text = load_models(request)
    drawn: list[Image.Image] = []
    written: list[Path] = []
    for number, bucket in enumerate(dataset.index["buckets"]):
        rows = (dataset.bucket == number).nonzero()[:, 0].tolist()
        for place, row in enumerate(rows[:: max(1, len(rows) // ROWS)][:ROWS]):
            record = dataset.record(row)
            caption = (dataset.captions(row) or [""])[0]
            source = _source_frames(dataset, record, request)
            decoded = _decoded(dataset, row, source, caption, codec, text)
            title = f"{bucket['bucket']}  {record['key']}"
            drawn.append(strips(title, caption, (source, decoded)))
            if place == 0:
                path = request.out / "preview" / f"{bucket['bucket']}.mp4"
                write_video(decoded, path, _fps(record["times"]))
                written.append(path)
    sheet = request.out / "preview" / "sheet.png"
    with replacing(sheet) as hidden:
        stack(drawn).save(hidden, format="PNG")
    return [sheet, *written]


def _source_frames(
    dataset: LatentDataset, record: dict[str, Any], request: PrepareRequest
) -> Frames:
    source = dataset.index["source"]
    (bucket,) = parse_buckets(str(record["bucket"]))
    with recorded_media(source, record["media"]) as media:
        return decode_clip(media, tuple(record["pts"]), bucket, request.cutting.decoder).frames


def _decoded(
    dataset: LatentDataset,
    row: int,
    source: Frames,
    caption: str,
    codec: LoadedCodec,
    text: PromptEncoder,
) -> Frames:
    device = next(codec.codec.parameters()).device if hasattr(codec.codec, "parameters") else "cpu"
    tokens, mask = text([caption])
    picture = torch.from_numpy(source[0].copy()).permute(2, 0, 1).float().to(device) / 255
    view = codec.codec.view([picture], tokens.to(device), mask.to(device), [caption])
    with torch.no_grad():
        latents = dataset[row].clip[None].float().to(device)
        return decode_frames(codec.codec, latents, view, remedy=lambda: _REMEDY)[0]


def _fps(times: Sequence[float]) -> float:
    seconds = times[-1] - times[0]
    return min(60.0, max(1.0, (len(times) - 1) / seconds)) if seconds > 0 else 8.0
