"""Put the trained parts together as the one file that ships.

    python -m examples.t2v.assemble runs/vae/final runs/t2v t2v.safetensors

Of a run that is not finished its newest checkpoint's averaged weights are taken.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from diffusers import AutoencoderKLWan, WanTransformer3DModel
from safetensors.torch import load_file

from examples.t2v.train_t2v import make_transformer
from fbridge.data.scenes import SCENE_FPS, SCENE_FRAMES, SCENE_SIZE
from fbridge.files.base_file import save_single_file
from fbridge.loaders.text_encoder import MINILM
from fbridge.train.checkpoints.reading import newest

WORLD = (
    "one or two drawn shapes (circle, square, triangle, star, heart, ring, cross, moon) in red, "
    "orange, yellow, green, blue, purple, white or black over a soft background, which jump, move "
    "left, right, up or down, fall, spin, come closer, go away, vanish or stand still"
)
"""What the model knows; `fbridge generate` tells it."""


def trained(run: Path) -> Any:
    """The transformer of a run."""
    if (run / "final").is_dir():
        return WanTransformer3DModel.from_pretrained(run / "final")
    found, network = newest(run), make_transformer()
    assert found is not None, f"{run} has no checkpoint"
    held = load_file(found.path / "ema.safetensors")
    network.load_state_dict({
        name.split("network.", 1)[1]: tensor for name, tensor in held.items() if "network." in name
    })  # fmt: skip
    return network


def main() -> None:
    """Load, join, write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("vae", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("target", type=Path)
    args = parser.parse_args()
    partial = args.target.with_suffix(".partial")
    save_single_file(
        partial,
        trained(args.run),
        AutoencoderKLWan.from_pretrained(args.vae),
        noise={"kind": "flow", "time_scale": 1000.0},
        prediction="flow",
        text_encoder=MINILM,
        frames=[SCENE_FRAMES, SCENE_FRAMES, SCENE_FRAMES, 4],
        fps=SCENE_FPS,
        sizes=[[SCENE_SIZE, SCENE_SIZE]],
        world=WORLD,
    )
    partial.chmod(0o644)
    partial.replace(args.target)
    print(f"{args.target}: {args.target.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
