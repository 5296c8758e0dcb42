"""Put trained parts together as one model folder that `FrameBridgePipeline` loads.

    python examples/embedded/assemble.py runs/ models/fbridge/pretrained/motion

Weights are kept in float16, which halves the package and changes no frame visibly.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import load_file

from fbridge.backbones.space_time import SpaceTimeTransformer
from fbridge.codecs.layers import LayerNet
from fbridge.codecs.motion import MotionCodec
from fbridge.pipeline import FrameBridgePipeline
from fbridge.scheduler import FrameBridgeScheduler


def main() -> None:
    """Load, join, write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", type=Path)
    parser.add_argument("target", type=Path)
    args = parser.parse_args()
    motion = args.runs / "motion"
    numbers = json.loads((motion / "numbers.json").read_text(encoding="utf-8"))
    codec = MotionCodec(scale=numbers["scale"])
    codec.layers.load_state_dict(LayerNet.from_pretrained(args.runs / "layers/final").state_dict())
    codec.estimator.load_state_dict(load_file(args.runs / "estimator/estimator.safetensors"))
    pipe = FrameBridgePipeline(
        codec=codec,
        backbone=SpaceTimeTransformer.from_pretrained(motion / "backbone"),
        prior=SpaceTimeTransformer.from_pretrained(motion / "prior"),
        scheduler=FrameBridgeScheduler(**numbers["scheduler"]),
        frames=numbers["frames"],
        fps=numbers["fps"],
    )
    pipe.to(torch.float16).save_pretrained(args.target)


if __name__ == "__main__":
    main()
