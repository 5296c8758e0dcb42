"""Put the trained parts together as the one file that ships.

    python -m examples.t2v.assemble runs/ models/fbridge/pretrained/t2v.safetensors

Tensors are float16; the header's only key, "fbridge", says as JSON what they are.
"""

from __future__ import annotations

import argparse
import inspect
import json
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderTiny, CogVideoXTransformer3DModel
from safetensors.torch import save_file
from torch import Tensor

from fbridge.data.shapes import FPS, FRAMES, SIZE
from fbridge.loaders.text_encoder import MINILM


def settings(model: Any) -> dict[str, Any]:
    """A diffusers model's class and the arguments that make it."""
    names = inspect.signature(type(model).__init__).parameters
    kept = {name: value for name, value in model.config.items() if name in names}
    return {"_class_name": type(model).__name__, **kept}


def halved(model: Any, prefix: str) -> dict[str, Tensor]:
    """Weights as float16, their names after a prefix."""
    weights = model.state_dict().items()
    return {f"{prefix}.{name}": tensor.to(torch.float16).contiguous() for name, tensor in weights}


def main() -> None:
    """Load, join, write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", type=Path)
    parser.add_argument("target", type=Path)
    args = parser.parse_args()
    transformer = CogVideoXTransformer3DModel.from_pretrained(args.runs / "t2v/final")
    vae = AutoencoderTiny.from_pretrained(args.runs / "vae/final")
    header = {
        "format": 1,
        "kind": "text-to-video",
        "transformer": settings(transformer),
        "vae": settings(vae),
        "noise": {"kind": "cogvideox", "snr_shift": 1.0},
        "prediction": "v",
        "text_encoder": MINILM,
        "frames": [FRAMES, FRAMES, FRAMES, 1],
        "fps": FPS,
        "sizes": [[SIZE, SIZE]],
    }
    tensors = {**halved(transformer, "transformer"), **halved(vae, "vae")}
    partial = args.target.with_suffix(".partial")
    save_file(tensors, partial, metadata={"fbridge": json.dumps(header)})
    partial.chmod(0o644)
    partial.replace(args.target)
    print(f"{args.target}: {args.target.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
