"""Memory and time of published models on a GPU, compared with the estimates of `fbridge doctor`.

    python benchmarks/memory.py [--models wan-1.3b,cogvideox-2b,...] [--switches plain,group,...]
    python benchmarks/memory.py --loading [--base c74d782]

Networks and autoencoders have the published shapes and random weights in bfloat16; the text encoder
has one layer, which leaves its share out of both numbers. One video of the model's usual size is
made in three steps with guidance for each memory option. torch's peak of allocated memory is
compared with the estimate, and so is the time, which is estimated from the speed of a probed block.
Needs a CUDA device. With --loading instead the memory of the host while a base is loaded, see
`benchmarks/loading.py`.
"""

from __future__ import annotations

import argparse
import gc
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

from benchmarks.loading import compare
from fbridge.backbones.families import FAMILIES, aligned_prediction
from fbridge.files.modules import build
from fbridge.loaders.codec import vae_class
from fbridge.memory.apply import apply_memory_options
from fbridge.memory.estimator import Estimator
from fbridge.memory.model_sizes import ModelSizes
from fbridge.memory.options import MemoryOptions
from fbridge.memory.plans import ClipShape, GenerationPlan
from fbridge.pipeline import FrameBridgePipeline
from fbridge.scheduler import FrameBridgeScheduler

_STEPS = 3
_TOKENS = 77


class Published(NamedTuple):
    """A published model.

    Attributes:
        transformer: class of its network.
        network: its configuration, where it differs from the class's.
        vae: configuration of its autoencoder, with its class's name.
        noise: configuration of its noise schedule.
        clip: frames, width and height.
    """

    transformer: str
    network: dict[str, Any]
    vae: dict[str, Any]
    noise: dict[str, Any]
    clip: ClipShape


def _variant(transformer: str, name: str) -> dict[str, Any]:
    (one,) = (known for known in FAMILIES[transformer].variants if known.name == name)
    return dict(one.config)


_SD = {
    "_class_name": "AutoencoderKL",
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "scaling_factor": 0.18215,
    "sample_size": 512,
}
_ROOTS = {"kind": "scaled-linear", "beta_start": 0.00085, "beta_end": 0.012}
MODELS = {
    "videocrafter-2": Published(
        "VideoCrafterUNet",
        {"rate": 28, "temporal_conv": True, "reach": 0},
        _SD,
        {**_ROOTS, "signal_scale": [0.7, 400]},
        ClipShape(16, 512, 320),
    ),
    "wan-1.3b": Published(
        "WanTransformer3DModel",
        _variant("WanTransformer3DModel", "Wan 2.1 1.3B"),
        {"_class_name": "AutoencoderKLWan"},
        {"kind": "flow"},
        ClipShape(81, 832, 480),
    ),
    "cogvideox-2b": Published(
        "CogVideoXTransformer3DModel",
        _variant("CogVideoXTransformer3DModel", "CogVideoX 2B"),
        {
            "_class_name": "AutoencoderKLCogVideoX",
            "block_out_channels": [128, 256, 256, 512],
            "layers_per_block": 3,
        },
        {"kind": "cogvideox", "snr_shift": 3.0},
        ClipShape(49, 720, 480),
    ),
}
SWITCHES = {
    "plain": MemoryOptions(),
    "tiling": MemoryOptions(tiling=True),
    "float8": MemoryOptions(cast="float8", tiling=True),
    "int8": MemoryOptions(quantize="int8", tiling=True),
    "model": MemoryOptions(offload="model", tiling=True),
    "group": MemoryOptions(offload="group", tiling=True),
}


def main() -> None:
    """Print a table of memory and time."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--switches", default=",".join(SWITCHES))
    parser.add_argument("--loading", action="store_true", help="the host's, while a base is loaded")
    parser.add_argument("--base", help="with --loading: a commit to compare with")
    chosen = parser.parse_args()
    if chosen.loading:
        compare(chosen.base)
        return
    print(torch.cuda.get_device_name(), "torch", torch.__version__)
    print("model            switch   peak GB  estimate  ratio   seconds  estimate  ratio")
    for name in chosen.models.split(","):
        model = MODELS[name]
        estimator = Estimator(_model_sizes(model))
        estimator.speed = estimator.probe(model.clip, "cuda", "bfloat16")
        for switch in chosen.switches.split(","):
            memory = SWITCHES[switch]
            try:
                peak, seconds = measure(model, memory)
            except torch.cuda.OutOfMemoryError:
                print(f"{name:16} {switch:8} does not fit", flush=True)
                continue
            needs = estimator.generate(
                GenerationPlan(
                    model.clip,
                    steps=_STEPS,
                    dtype="bfloat16",
                    offload=memory.offload,
                    tiling=memory.tiling,
                    quantize=_kept(memory),
                )
            )
            assert needs.seconds is not None
            print(
                f"{name:16} {switch:8} {peak / 1e9:7.2f} {needs.memory / 1e9:9.2f} "
                f"{needs.memory / peak:6.2f} {seconds:9.2f} {needs.seconds:9.2f} "
                f"{needs.seconds / seconds:6.2f}",
                flush=True,
            )


def _kept(memory: MemoryOptions) -> str:
    if memory.cast != "none":
        return memory.cast
    return "" if memory.quantize == "none" else memory.quantize


def measure(model: Published, memory: MemoryOptions) -> tuple[int, float]:
    """Peak of allocated bytes, and seconds of the second of two videos."""
    pipe = _pipeline(model)
    apply_memory_options(pipe, "cuda", memory)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (480, 720, 3), np.uint8))
    clip = model.clip
    taken = 0.0
    for _ in range(2):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        torch.cuda.synchronize()
        began = time.perf_counter()
        pipe(
            picture, "a cat", num_frames=clip.frames, size=(clip.width, clip.height),
            num_inference_steps=_STEPS, guidance_scale=6.0,
        )  # fmt: skip
        torch.cuda.synchronize()
        taken = time.perf_counter() - began
    peak = torch.cuda.max_memory_allocated()
    del pipe
    gc.collect()
    torch.cuda.empty_cache()
    return peak, taken


def _pipeline(model: Published) -> FrameBridgePipeline:
    family = FAMILIES[model.transformer]
    network = _random(family.load_class(), model.network)
    vae = _random(vae_class(model.vae), model.vae)
    encoder, tokenizer = text_encoder(family.prompt_width(network))
    family.expand_inputs(network, 1)
    frames = model.clip.frames
    return FrameBridgePipeline(
        transformer=network,
        vae=vae,
        scheduler=FrameBridgeScheduler(
            prediction=aligned_prediction(family.prediction), base=model.noise
        ),
        text_encoder=encoder.to(torch.bfloat16),
        tokenizer=tokenizer,
        frames=[frames, frames, frames, 1],
    )


def _random(kind: Any, config: dict[str, Any]) -> Any:
    """A random model in bfloat16, except for the modules that its class keeps in float32."""
    torch.manual_seed(0)
    with torch.device("cuda"):
        drawn = kind.from_config({key: value for key, value in config.items() if key[0] != "_"})
    held = {name: tensor.cpu() for name, tensor in drawn.state_dict().items()}
    return build(kind, drawn.config, held, Path(kind.__name__), torch.bfloat16)


def text_encoder(width: int) -> tuple[T5EncoderModel, PreTrainedTokenizerFast]:
    """A random encoder of one layer, and its tokenizer."""
    core = Tokenizer(WordLevel({"<unk>": 0, "</s>": 1, "a": 2, "cat": 3}, unk_token="<unk>"))
    core.pre_tokenizer = Whitespace()
    core.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="</s>", unk_token="<unk>", model_max_length=_TOKENS
    )
    config = T5Config(vocab_size=4, d_model=width, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    return T5EncoderModel(config).eval(), tokenizer


def _model_sizes(model: Published) -> ModelSizes:
    family = FAMILIES[model.transformer]
    network = family.empty_network(model.network)
    whole = {key: value for key, value in network.config.items() if key[0] != "_"}
    with torch.device("meta"):
        config = {key: value for key, value in model.vae.items() if key[0] != "_"}
        vae = vae_class(model.vae).from_config(config)
    numbers = sum(parameter.numel() for parameter in vae.parameters())
    config = {"_class_name": model.transformer, **whole}
    return ModelSizes(family, config, {**vae.config, **model.vae}, numbers, 0, _TOKENS)


if __name__ == "__main__":
    main()
