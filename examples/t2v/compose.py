"""Draw the captioned clips that the small text-to-video model is trained on.

    python -m examples.t2v.compose clips/ --count 9000
    python -m examples.t2v.compose held/ --count 256 --held-out

A clip depends on its number alone, and those that exist are left as they are.
"""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from fbridge.data.shapes import write_clips

SEED, HELD_OUT_SEED = 0, 1
PORTION = 100
"""Clips that a process draws at once."""


def main() -> None:
    """Write the clips that are missing, on all cores."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=9000)
    parser.add_argument("--held-out", action="store_true")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    seed = HELD_OUT_SEED if args.held_out else SEED
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        portions = [
            pool.submit(
                write_clips,
                args.folder,
                min(PORTION, args.count - first),
                seed=seed,
                first=first,
            )
            for first in range(0, args.count, PORTION)
        ]
        for number, portion in enumerate(portions):
            portion.result()
            print(f"{min((number + 1) * PORTION, args.count)} of {args.count} clips", flush=True)


if __name__ == "__main__":
    main()
