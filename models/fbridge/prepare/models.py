"""The networks that an order names."""

from __future__ import annotations

import torch

from fbridge.codecs.load import LoadedCodec, load_codec
from fbridge.prepare.options import Options
from fbridge.text import MINILM, TextEncoder, load_text_encoder


def load_models(options: Options) -> tuple[LoadedCodec, TextEncoder]:
    """Codec and text encoder; without a name, a pipeline's own text encoder, else MiniLM.

    Raises:
        ConfigError: the codec cannot encode clips of a bucket's shape.
        CheckpointError: one of them is nowhere, or does not load.
    """
    # Said even when it changes nothing: until it is said, MKL takes other numbers of threads for
    # itself now and then, and a sum over other threads rounds otherwise.
    torch.set_num_threads(torch.get_num_threads())
    codec = load_codec(options.codec, device=options.device)
    for bucket in options.cutting.buckets:
        codec.codec.check_shape(*bucket)
    pipeline = codec.folder.parent
    own = (pipeline / "model_index.json").is_file() and (pipeline / "text_encoder").is_dir()
    name = options.text_encoder or (str(pipeline) if own else MINILM)
    return codec, load_text_encoder(name, device=options.device)
