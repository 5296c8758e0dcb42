"""Compose the scenes that the embedded model is trained on.

    python -m examples.embedded.compose materials/ scenes/ --shards 60
    python -m examples.embedded.compose materials/ scenes/ --shards 22 --first 200 --close-ups 0.75
    python -m examples.embedded.compose materials/ scenes/ --shards 4 --held-out

256 scenes a shard; a shard depends on its number alone, and those that exist are left as they are.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from examples.embedded.scenes.compose import Library
from examples.embedded.scenes.shards import write_shard
from fbridge.loaders.text_encoder import load_text_encoder

HELD_OUT_SEED = 1_000_000


def main() -> None:
    """Write the shards that are missing."""
    parser = argparse.ArgumentParser()
    parser.add_argument("materials", type=Path)
    parser.add_argument("scenes", type=Path)
    parser.add_argument("--shards", type=int, required=True)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--close-ups", type=float, default=0.4)
    parser.add_argument("--held-out", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.scenes.mkdir(parents=True, exist_ok=True)
    library = Library.load(args.materials, held_out=args.held_out)
    encode = load_text_encoder()
    for number in range(args.first, args.first + args.shards):
        kind, seed = ("held", HELD_OUT_SEED + number) if args.held_out else ("train", number)
        path = args.scenes / f"{kind}-{number:05d}.safetensors"
        if not path.exists():
            write_shard(library, encode, path, seed=seed, close_ups=args.close_ups)
            print(path, flush=True)


if __name__ == "__main__":
    main()
