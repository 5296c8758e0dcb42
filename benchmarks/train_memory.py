"""Memory and time of training a LoRA with each switch that saves them, against `fbridge doctor`.

    python benchmarks/train_memory.py [--switches plain,checkpointing,...] [--frames 81]
    python benchmarks/train_memory.py --tiny

A base with the shapes of Wan 2.1 1.3B and random weights is trained for five steps with a LoRA of
rank 32 at bf16, one clip of 81 frames of 832x480 a step, as `fbridge finetune` does it. Every row
adds its switch to those before it, but for the last two. Seconds are the mean of the last three
steps, memory is torch's peak of allocated bytes; the estimate is of the same switches. Needs a CUDA
device and about eight minutes; --tiny tries the script on a small model, anywhere, where memory is
the process's.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel

from benchmarks.memory import MODELS, text_encoder
from fbridge.config.tree import Config
from fbridge.data.video.buckets import Bucket
from fbridge.data.video.clip_sampling import ClipSampling
from fbridge.data.video_writers import write_mp4
from fbridge.memory.assess import training_plan
from fbridge.memory.estimator import Estimator
from fbridge.memory.model_sizes import model_sizes
from fbridge.memory.plans import ClipShape
from fbridge.prepare import PrepareRequest, prepare
from fbridge.train.events import Stepped
from fbridge.train.loop import fit
from fbridge.train.setup.session import build_session

STEPS, TIMED = 5, 3
Sections = dict[str, dict[str, Any]]
PLAIN: Sections = {"train": {"precision": "bf16"}, "lora": {"rank": 32}}
SWITCHES: dict[str, Sections] = {
    "plain": {},
    "checkpointing": {"train": {"gradient_checkpointing": True}},
    "compile": {"train": {"compile": True}},
    "float8": {"lora": {"quantize": "float8"}},
    "activations": {"train": {"offload_activations": True}},
    "half of the blocks": {"lora": {"offload_blocks": 15}},
    "all blocks": {"lora": {"offload_blocks": 30}},
    "all blocks, nf4": {"lora": {"offload_blocks": 30, "quantize": "nf4"}},
    "nf4": {
        "lora": {"offload_blocks": 0, "quantize": "nf4"},
        "train": {"offload_activations": False},
    },
}
_TINY = {
    "num_attention_heads": 2, "attention_head_dim": 64, "num_layers": 4, "ffn_dim": 256,
    "text_dim": 32, "freq_dim": 32,
}  # fmt: skip
_TINY_VAE: dict[str, Any] = {"base_dim": 8, "z_dim": 16}


def main() -> None:
    """Print a table of memory and time."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--switches", default=",".join(SWITCHES), help="with commas")
    parser.add_argument("--frames", type=int, default=81)
    parser.add_argument("--size", default="832x480")
    parser.add_argument("--tiny", action="store_true", help="a small model on any device")
    chosen = parser.parse_args()
    width, height = (64, 64) if chosen.tiny else map(int, chosen.size.split("x"))
    clip = ClipShape(9 if chosen.tiny else chosen.frames, width, height)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    named = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    print(f"{named}, torch {torch.__version__}; {clip.frames} frames of {width}x{height}")
    with tempfile.TemporaryDirectory() as folder:
        base = _write_base(Path(folder) / "base", tiny=chosen.tiny)
        data = _prepare(Path(folder), base, clip, device)
        estimator = Estimator(model_sizes(str(base)))
        print(f"{'switch':20} peak GB  estimate  ratio  s a step")
        sections = PLAIN
        for switch in SWITCHES:
            sections = _merge(sections, SWITCHES[switch])
            if switch not in chosen.switches.split(","):
                continue
            config = _configure(sections, base, data)
            needs = estimator.train(training_plan(config, clip)).memory
            try:
                peak, seconds = _train(config, Path(folder) / switch, device)
            except torch.cuda.OutOfMemoryError:
                print(f"{switch:20} does not fit; estimate {needs / 1e9:.2f}", flush=True)
                continue
            print(
                f"{switch:20} {peak / 1e9:7.2f} {needs / 1e9:9.2f} {needs / peak:6.2f} "
                f"{seconds:9.2f}",
                flush=True,
            )


def _merge(sections: Sections, more: Sections) -> Sections:
    names = {*sections, *more}
    return {name: {**sections.get(name, {}), **more.get(name, {})} for name in names}


def _configure(sections: Sections, base: Path, data: Path) -> Config:
    usual: Sections = {
        "train": {"steps": STEPS, "batch_size": 1, "warmup": 1, "workers": 0},
        "validation": {"rows": 0, "share": 0.0},
        "log": {"every": 1, "trackers": []},
    }
    return Config.model_validate({"base": str(base), "data": str(data), **_merge(usual, sections)})


def _train(config: Config, run: Path, device: str) -> tuple[int, float]:
    """Peak of allocated bytes, and seconds a step."""
    gc.collect()
    torch._dynamo.reset()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    session = build_session("finetune", config, run, device=device)
    steps = [event for event in fit(session.training) if isinstance(event, Stepped)]
    return steps[-1].memory, sum(step.seconds for step in steps[-TIMED:]) / TIMED


def _write_base(folder: Path, *, tiny: bool) -> Path:
    """A pipeline's folder with random weights in bfloat16."""
    torch.manual_seed(0)
    shape = _TINY if tiny else MODELS["wan-1.3b"].network
    network = WanTransformer3DModel.from_config(shape).to(torch.bfloat16)
    vae = AutoencoderKLWan(**(_TINY_VAE if tiny else {})).to(torch.bfloat16)
    encoder, tokenizer = text_encoder(network.config.text_dim)
    pipeline = WanPipeline(
        tokenizer=tokenizer,
        text_encoder=encoder.to(torch.bfloat16),
        vae=vae,
        scheduler=UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True),
        transformer=network,
    )
    pipeline.save_pretrained(folder)
    return folder


def _prepare(folder: Path, base: Path, clip: ClipShape, device: str) -> Path:
    """Latents of two clips of noise that moves."""
    rng = np.random.default_rng(0)
    (folder / "clips").mkdir()
    for number in range(2):
        first = rng.integers(0, 256, (clip.height, clip.width, 3), np.uint8)
        frames = np.stack([np.roll(first, 2 * n, 1) for n in range(clip.frames + 4)])
        write_mp4([frames], folder / "clips" / f"{number}.mp4", 16.0, None)
        (folder / "clips" / f"{number}.txt").write_text("a cat")
    cutting = ClipSampling((Bucket(clip.width, clip.height, clip.frames),))
    request = PrepareRequest(
        folder / "clips", folder / "latents", cutting, codec=str(base), device=device, batch_size=1
    )
    for _ in prepare(request):
        pass
    return folder / "latents"


if __name__ == "__main__":
    main()
