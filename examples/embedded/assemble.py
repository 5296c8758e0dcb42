"""Put trained parts together as one model folder that `FrameBridgePipeline` loads.

    python -m examples.embedded.assemble runs/ models/fbridge/pretrained/motion

Weights are kept in float16, which halves the package and changes no frame visibly.
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


def without_origin(folder: Path) -> SpaceTimeTransformer:
    """A trained network whose configuration does not tell the folder it came from."""
    trained = SpaceTimeTransformer.from_pretrained(folder)
    numbers = {k: v for k, v in trained.config.items() if not k.startswith("_")}
    fresh = SpaceTimeTransformer(**numbers)
    fresh.load_state_dict(trained.state_dict())
    return fresh


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
    pipe = FrameBridgePipeline(
        codec=codec,
        transformer=without_origin(motion / "transformer"),
        prior=without_origin(motion / "prior"),
        scheduler=FrameBridgeScheduler(**numbers["scheduler"]),
        frames=numbers["frames"],
        fps=numbers["fps"],
    )
    pipe.to(torch.float16).save_pretrained(args.target)


if __name__ == "__main__":
    main()
