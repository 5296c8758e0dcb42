"""Load the codec and the text encoder of a request."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fbridge.files.configs import has_component, read_json
from fbridge.files.tensors import read_header
from fbridge.loaders.codec import LoadedCodec, load_codec
from fbridge.loaders.single_file import find_single_file, holds_other_parts, unpack
from fbridge.loaders.text_encoder import MINILM, load_text_encoder
from fbridge.prepare.request import PrepareRequest
from fbridge.words.encoder import PromptEncoder


@dataclass(frozen=True)
class ModelFacts:
    """What the plan and the index say of the models, which may be loaded on other machines.

    Attributes:
        codec: name, kind, hash and fingerprint, as in the index.
        text_encoder: name and hash, likewise.
        reads_text: whether the codec's latents depend on the caption.
        temporal: video frames a latent frame.
    """

    codec: dict[str, str]
    text_encoder: dict[str, str]
    reads_text: bool
    temporal: int

    @classmethod
    def of(cls, codec: LoadedCodec, text: PromptEncoder) -> ModelFacts:
        """Those of loaded models."""
        facts: dict[str, Any] = {
            name: getattr(codec, name) for name in ("name", "kind", "hash", "fingerprint")
        }
        temporal = getattr(codec.codec, "temporal", None) or 1
        return cls(facts, {"name": text.name, "hash": text.hash}, codec.codec.reads_text, temporal)


def load_models(request: PrepareRequest) -> tuple[LoadedCodec, PromptEncoder]:
    """Codec and text encoder; without a name, the codec's own text encoder, else MiniLM.

    Raises:
        ConfigError: the codec cannot encode clips of a bucket's shape.
        CheckpointError: one of them is not found, or does not load.
    """
    # Set even where it changes nothing: until it is set, MKL sometimes uses another number of
    # threads, and sums over other numbers of threads are rounded differently.
    torch.set_num_threads(torch.get_num_threads())
    codec = load_codec(request.codec, device=request.device)
    for bucket in request.cutting.buckets:
        codec.codec.check_shape(*bucket)
    name = request.text_encoder or _own_text_encoder(codec)
    return codec, load_text_encoder(name, device=request.device, own=True)


def _own_text_encoder(codec: LoadedCodec) -> str:
    """The text encoder of the pipeline or single file of a codec, local or on the hub."""
    file = find_single_file(Path(codec.name))
    if file is not None and holds_other_parts(read_header(file).shapes):
        return str(unpack(file))
    pipeline = codec.folder.parent
    if not (pipeline / "model_index.json").is_file():
        return MINILM
    if (pipeline / "text_encoder").is_dir():
        return str(pipeline)
    index = read_json(pipeline / "model_index.json")
    named = has_component(index, "text_encoder")
    return codec.name if named and not Path(codec.name).exists() else MINILM
