"""Features and masks of pictures that the embedded model's mask decoder is trained on.

    SAMPLES="python -m examples.embedded.mask_samples materials/ samples/"
    $SAMPLES --shards 40
    $SAMPLES --shards 24 --photos materials/natural
    $SAMPLES --shards 4 --held-out

96 pictures a shard, all of one size. The features' network is frozen, so it runs once a picture.
With `--photos DIR`, the pictures are photographs with the masks in `DIR/masks/`; otherwise they are
composed. A shard depends on its number alone, and those that exist are left as they are.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from examples.embedded.scenes.compose import Library, Rng
from examples.embedded.scenes.named import SIZES, Named, compose_named, crop_photo, load_photos
from fbridge.codecs.scenes.features import packaged_features
from fbridge.codecs.scenes.nouns import PACKAGED, NounTable
from fbridge.codecs.scenes.segmenter import STRIDE, noun_hints

SAMPLES = 96
HELD_OUT_SEED = 1_000_000
SURE = 0.25
"""Least probability of a class in the mask for taking its name as the noun."""


class Sampler:
    """Pictures to what the decoder is given."""

    def __init__(self, table: Path) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.net = packaged_features().to(self.device)
        self.table = NounTable(table)

    @torch.inference_mode()
    def __call__(self, named: Named) -> dict[str, Tensor]:
        """The tensors of one sample."""
        picture = torch.from_numpy(named.picture).permute(2, 0, 1)[None]
        features = self.net(picture.to(self.device, memory_format=torch.channels_last))
        mask = torch.from_numpy(named.mask)[None, None].to(self.device)
        noun = self._seen(features.classes, mask) if named.noun is None else named.noun
        classes = self.table.named(noun).to(self.device)
        hints = noun_hints(features.classes, classes[None])
        out = {f"map{i}": m[0].half() for i, m in enumerate(features.maps) if i}
        out["hints"] = hints[0].half()
        out["mask"] = (F.avg_pool2d(mask, STRIDE)[0, 0] * 255).round().to(torch.uint8)
        return {key: value.cpu() for key, value in out.items()}

    def _seen(self, classes: Tensor, mask: Tensor) -> str:
        """A noun for what the network sees in the mask; "" where it is not sure."""
        weight = F.interpolate(mask, classes.shape[-2:], mode="area")
        inside = (classes.softmax(1) * weight).sum((2, 3))[0] / weight.sum().clamp_min(1e-3)
        best, label = inside.max(0)
        return self.table.name_of(int(label)) if float(best) > SURE else ""


def write_shard(
    path: Path, sampler: Sampler, draw: Callable[[Rng, tuple[int, int]], Named]
) -> None:
    """Draw a shard's pictures from its name's number; written whole or not at all."""
    seed = int(path.stem.split("-")[1])
    rng = np.random.default_rng(seed)
    size = SIZES[seed % len(SIZES)]
    samples = [sampler(draw(rng, size)) for _ in range(SAMPLES)]
    partial = path.with_suffix(".partial")
    save_file({key: torch.stack([s[key] for s in samples]) for key in samples[0]}, partial)
    partial.replace(path)


def main() -> None:
    """Write the shards that are missing."""
    parser = argparse.ArgumentParser()
    parser.add_argument("materials", type=Path)
    parser.add_argument("samples", type=Path)
    parser.add_argument("--nouns", type=Path, default=PACKAGED)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--shards", type=int, required=True)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--held-out", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.samples.mkdir(parents=True, exist_ok=True)
    sampler = Sampler(args.nouns)
    kind = "photo" if args.photos else "composed"
    if args.photos:
        pairs = load_photos(args.photos, held_out=args.held_out)

        def draw(rng: Rng, size: tuple[int, int]) -> Named:
            picture, mask = pairs[rng.integers(len(pairs))]
            return crop_photo(
                Image.open(picture).convert("RGB"), Image.open(mask).convert("L"), rng, size
            )
    else:
        library = Library.load(args.materials, held_out=args.held_out)

        def draw(rng: Rng, size: tuple[int, int]) -> Named:
            return compose_named(library, rng, size)

    kind, base = (f"held_{kind}", HELD_OUT_SEED) if args.held_out else (kind, 0)
    for number in range(args.first, args.first + args.shards):
        path = args.samples / f"{kind}-{base + number:07d}.safetensors"
        if not path.exists():
            write_shard(path, sampler, draw)
            print(path, flush=True)


if __name__ == "__main__":
    main()
