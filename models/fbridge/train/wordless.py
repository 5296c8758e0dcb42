"""A batch's condition without its words, for guidance; and its view, for codecs that need one."""

from __future__ import annotations

from dataclasses import replace

import torch

from fbridge.codecs import Codec, Rewords, View
from fbridge.data.latents import LatentDataset
from fbridge.train.batches import TrainingBatch, TrainingClips
from fbridge.types import Condition


def without_words(batch: TrainingBatch, clips: TrainingClips, codec: Codec) -> Condition:
    """The condition of a batch of clips with the empty prompt."""
    condition = batch.condition
    empty = clips.empty_text[None].expand(len(batch.rows), -1, -1).to(condition.prompt_embeds)
    mask = torch.ones(empty.shape[:2], dtype=torch.bool, device=empty.device)
    wordless = condition.with_prompt(empty, mask)
    if isinstance(codec, Rewords):
        latents = codec.reworded(view_of(batch, clips.dataset, codec), [""] * len(batch.rows))
        wordless = replace(wordless, image_latents=latents)
    return wordless


def view_of(batch: TrainingBatch, data: LatentDataset, codec: Codec) -> View:
    """The view of a batch, to decode it; from the stored pictures if the codec needs them."""
    if not codec.needs_picture:
        return View(batch.condition.image_latents, None, ())
    device = batch.clean.device
    pictures = []
    for row in batch.rows.tolist():
        picture = data[row].picture
        assert picture is not None, "prepare stores pictures for such a codec"
        pictures.append(picture.to(device).float() / 255)
    condition = batch.full_condition
    words = (condition.prompt_embeds, condition.prompt_mask, condition.prompts)
    return codec.view(pictures, *words)
