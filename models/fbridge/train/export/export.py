"""From what was trained to a model folder that the pipeline loads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from fbridge.backbones.families import family_of
from fbridge.codecs import Codec
from fbridge.codecs.vae import VAECodec
from fbridge.loaders.load import PretrainedModel
from fbridge.pipeline import FrameBridgePipeline
from fbridge.scheduler import FrameBridgeScheduler
from fbridge.train.export.model_folder import cast_weights, replacing_model

NETWORKS = ("transformer", "prior", "codec", "vae")
"""Parts that are stored in the precision asked for; text encoders stay as they are."""


def assemble(
    base: PretrainedModel,
    transformer: Any,
    *,
    scheduler: FrameBridgeScheduler,
    codec: Codec | None = None,
    prior: Any = None,
    facts: dict[str, Any] | None = None,
) -> FrameBridgePipeline:
    """A pipeline of a base's parts around a trained network.

    Args:
        base: what training began with.
        transformer: what came of it.
        scheduler: the bridge.
        codec: of the latents, where it is not the base's.
        prior: the network that the bridge starts from, if it has one.
        facts: `frames`, `fps`, `sizes`, `classes`, `start_from` that are not the base's.
    """
    held = base.components()
    if codec is not None:
        vae = codec.vae if isinstance(codec, VAECodec) else None
        held.update(vae=vae, codec=codec if vae is None else None)
    return FrameBridgePipeline(
        **{**held, **(facts or {})}, transformer=transformer, scheduler=scheduler, prior=prior
    )


def save_model(
    pipeline: FrameBridgePipeline, folder: Path, *, dtype: torch.dtype | None = None
) -> None:
    """Write a pipeline as a folder, whole or not at all; a model in its place is replaced.

    Args:
        pipeline: without adapters: merge them first.
        folder: to write.
        dtype: of the stored weights; None is their own. The pipeline itself does not change.

    Raises:
        DependencyError: it cannot be written, or something else is there.
    """
    family_of(pipeline.transformer)  # an unknown network would not load
    with replacing_model(folder) as part:
        pipeline.save_pretrained(part, safe_serialization=True)
        if dtype is not None:
            for network in NETWORKS:
                cast_weights(part / network, dtype)
