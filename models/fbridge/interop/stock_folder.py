"""Makes a model's folder one that stock diffusers runs, by the files of `fbridge.interop.stock`.

The folder stays fbridge's own: it gets Python files, which fbridge never runs, a README.md, and the
bridge's numbers in model_index.json under the key "bridge".
"""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from fbridge.backbones.families import family_of
from fbridge.conditioning.text import TextEncoder
from fbridge.pipeline.pipeline import STOCK_NUMBERS, FrameBridgePipeline
from fbridge.process import DiffusionProcess
from fbridge.scheduler import schedule_to_config

PIPELINE = "fbridge_pipeline"
_FORMAT = 1
_FILES = tuple(f"fbridge_{part}.py" for part in ("pipeline", "networks", "pixels", "times"))
_FAMILIES = ("wan", "ltx", "hunyuan", "cogvideox")
_PREDICTIONS = ("aligned-flow", "aligned-v")
_AUTOENCODERS = (
    "AutoencoderKLWan",
    "AutoencoderKLLTXVideo",
    "AutoencoderKLHunyuanVideo",
    "AutoencoderKLCogVideoX",
)
_README = """# A bridge model of fbridge

It makes videos from pictures and prompts. fbridge runs it with every sampler:

    fbridge generate cat.jpg -p "a cat jumps" --model .

Stock diffusers runs it too, without fbridge, as a channel-concatenated flow model:

    import torch
    from diffusers import DiffusionPipeline
    from diffusers.utils import export_to_video
    from PIL import Image

    pipe = DiffusionPipeline.from_pretrained(
        "DIR", custom_pipeline="DIR/{pipeline}.py", trust_remote_code=True
    )
    generator = torch.Generator().manual_seed(7)
    video = pipe(Image.open("cat.jpg"), "a cat jumps", generator=generator).frames[0]
    export_to_video(video, "cat.mp4", fps={fps:g})

DIR is this folder. The frames are those of `fbridge generate --sampler ode` with the same seed.
"""


def why_not_stock(pipeline: FrameBridgePipeline) -> str:
    """Why stock diffusers cannot run a model, and the way out; "" where it can."""
    config, scheduler = pipeline.config, pipeline.scheduler
    family = family_of(pipeline.transformer).name
    start = (config.start_from or {}).get("kind", "repeat" if pipeline.prior is None else "neural")
    held = type(pipeline.vae).__name__
    first, _ = scheduler.time_range
    faults = {
        f"its network is of the family {family}, which has no such pipeline; "
        f"these have one: {', '.join(_FAMILIES)}": family not in _FAMILIES,
        f"its prediction is {scheduler.config.prediction} where a flow or v under SNR alignment is "
        'needed; train with bridge.prediction = "auto" over a text-to-video model': (
            scheduler.config.prediction not in _PREDICTIONS
        ),
        f"its prior is {start}, which diffusers does not have; train one with prior.kind = "
        '"repeat"': start != "repeat",
        "its latents have a codec that diffusers does not have; train over the text-to-video "
        "model's own autoencoder": pipeline.vae is None,
        f"its autoencoder is {held}, of no video model; these are known: "
        f"{', '.join(_AUTOENCODERS)}": held not in _AUTOENCODERS,
        "its text encoder is the one of fbridge's package; train over a model with its own": (
            pipeline.text_encoder is None
        ),
        f"its sampling starts {scheduler.config.start} where that of diffusers starts noised; use "
        "fbridge generate": scheduler.config.start != "noised",
        f"its network knows bridge times from {first:.3f} on, and a video ends at 0; take "
        "the other expert of the pair": first > 0,
    }
    return next((fault for fault, holds in faults.items() if holds), "")


def bridge_numbers(pipeline: FrameBridgePipeline) -> dict[str, Any]:
    """The numbers that the files need, as JSON."""
    scheduler = pipeline.scheduler
    encoder = pipeline.prompt_encoder
    assert isinstance(encoder, TextEncoder), "checked by why_not_stock"
    process = scheduler.process
    reading = encoder.reading._replace(max_tokens=encoder.max_tokens)
    kept = (
        "prediction", "base", "grid", "time_shift", "steps", "strength", "guidance_scale",
        "guidance_scale_2", "boundary", "image_input",
    )  # fmt: skip
    return {
        "format": _FORMAT,
        "first_frame": pipeline.defaults["first_frame"],
        "objective": "diffusion" if isinstance(process, DiffusionProcess) else "bridge",
        "schedule": schedule_to_config(process.schedule),
        "reading": list(reading),
        "time_range": list(scheduler.time_range),
        **{name: scheduler.config[name] for name in kept},
    }


def add_stock_files(folder: Path, pipeline: FrameBridgePipeline) -> str:
    """Write them into a model's folder, where stock diffusers can run it; else says why not."""
    if reason := why_not_stock(pipeline):
        return reason
    source = files("fbridge.interop.stock")
    for name in _FILES:
        (folder / name).write_text(source.joinpath(name).read_text("utf-8"), encoding="utf-8")
    index = folder / "model_index.json"
    tree = {**json.loads(index.read_text("utf-8")), STOCK_NUMBERS: bridge_numbers(pipeline)}
    index.write_text(json.dumps(tree, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    readme = _README.format(pipeline=PIPELINE, fps=pipeline.default_fps)
    (folder / "README.md").write_text(readme, encoding="utf-8")
    return ""
