"""Put trained parts together as one model folder that `FrameBridgePipeline` loads.

    python examples/embedded/assemble.py runs/layers/final runs/motion models/fbridge/pretrained/motion

Weights are kept in float16, which halves the download and changes no frame visibly.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from fbridge.backbones.space_time import SpaceTimeTransformer
from fbridge.codecs.layers import LayerNet
from fbridge.codecs.motion import MotionCodec
from fbridge.pipeline import FrameBridgePipeline
from fbridge.scheduler import FrameBridgeScheduler


def main() -> None:
    """Load, join, write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("layers", type=Path)
    parser.add_argument("motion", type=Path)
    parser.add_argument("target", type=Path)
    args = parser.parse_args()
    numbers = json.loads((args.motion / "numbers.json").read_text(encoding="utf-8"))
    codec = MotionCodec(scale=numbers["scale"])
    codec.layers.load_state_dict(LayerNet.from_pretrained(args.layers).state_dict())
    pipe = FrameBridgePipeline(
        codec=codec,
        backbone=SpaceTimeTransformer.from_pretrained(args.motion / "backbone"),
        prior=SpaceTimeTransformer.from_pretrained(args.motion / "prior"),
        scheduler=FrameBridgeScheduler(**numbers["scheduler"]),
        frames=numbers["frames"],
        fps=numbers["fps"],
    )
    pipe.to(torch.float16).save_pretrained(args.target)


if __name__ == "__main__":
    main()
