"""Put trained parts together as one model folder that `FrameBridgePipeline` loads.

    python -m examples.embedded.assemble runs/ models/fbridge/pretrained/motion

Weights are kept in float16, which halves the package and changes no frame visibly.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import load_file

from fbridge.backbones.space_time import SpaceTimeTransformer
from fbridge.codecs.scene_codec import SceneCodec
from fbridge.pipeline import FrameBridgePipeline
from fbridge.scheduler import FrameBridgeScheduler


def without_origin(folder: Path) -> SpaceTimeTransformer:
    """A trained network whose configuration does not tell the folder it came from."""
    trained = SpaceTimeTransformer.from_pretrained(folder)
    numbers = {k: v for k, v in trained.config.items() if not k.startswith("_")}
    fresh = SpaceTimeTransformer(**numbers)
    fresh.load_state_dict(trained.state_dict())
    return fresh


def join_codec(runs: Path, scale: list[list[float]]) -> SceneCodec:
    """The codec of the trained decoder."""
    codec = SceneCodec(scale=scale)
    weights = load_file(runs / "masks" / "masks.safetensors")
    codec.decoder.load_state_dict({key: value.float() for key, value in weights.items()})
    return codec


def main() -> None:
    """Load, join, write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", type=Path)
    parser.add_argument("target", type=Path)
    args = parser.parse_args()
    motion = args.runs / "motion"
    numbers = json.loads((motion / "numbers.json").read_text(encoding="utf-8"))
    pipe = FrameBridgePipeline(
        codec=join_codec(args.runs, numbers["scale"]),
        transformer=without_origin(motion / "transformer"),
        prior=without_origin(motion / "prior"),
        scheduler=FrameBridgeScheduler(**numbers["scheduler"]),
        frames=numbers["frames"],
        fps=numbers["fps"],
    )
    pipe.to(torch.float16).save_pretrained(args.target)


if __name__ == "__main__":
    main()
