"""Words to videos, and whether they show what the words say.

    python -m examples.t2v.judge t2v.safetensors --count 64 --sheet sheet.png

Captions are those of held-out scenes. Each row of the sheet is a video under its caption, every
second frame from left to right.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from examples.t2v.scene_clips import HELD_OUT_SEED
from examples.t2v.train_t2v import SHIFT, embed
from examples.t2v.wan_vae import decode
from examples.training import chosen_device, device_of
from fbridge.data.scene_judge import Verdict, judge
from fbridge.data.scenes import SCENE_FRAMES, Scene, draw_scene
from fbridge.loaders.load import load_pretrained

LINE = 14
"""Height of a caption in the sheet, in pixels."""


@torch.no_grad()
def sample(
    network: Any, text: Tensor, empty: Tensor, *, steps: int, guidance: float, seed: int
) -> Tensor:
    """Latents (B, C, f, h, w) by Euler's steps from noise, with classifier-free guidance."""
    frames = 1 + (SCENE_FRAMES - 1) // 4
    draws = [torch.Generator().manual_seed(seed + row) for row in range(len(text))]
    shape = (network.config.in_channels, frames, 8, 8)
    device = device_of(network)
    latents = torch.stack([torch.randn(shape, generator=draw) for draw in draws]).to(device)
    line = torch.linspace(1, 0, steps + 1)
    sigmas = SHIFT * line / (1 + (SHIFT - 1) * line)
    words = torch.cat([text, empty.expand_as(text)]).float().to(device)
    for now, then in pairwise(sigmas):
        both = network(
            latents.repeat(2, 1, 1, 1, 1),
            (now * 1000).expand(len(words)).to(device),
            words,
            return_dict=False,
        )[0]
        guided, without = both.chunk(2)
        latents = latents + (then - now) * (without + guidance * (guided - without))
    return latents


@torch.no_grad()
def shown(vae: Any, latents: Tensor) -> NDArray[np.uint8]:
    """(B, F, H, W, 3) pixels of normalised latents."""
    mean, spread = (
        torch.tensor(held, device=latents.device).view(1, -1, 1, 1, 1)
        for held in (vae.config.latents_mean, vae.config.latents_std)
    )
    pixels = decode(vae, latents * spread + mean).clamp(-1, 1)
    frames = ((pixels + 1) * 127.5).round().byte().permute(0, 2, 3, 4, 1)
    bytes_: NDArray[np.uint8] = frames.cpu().numpy()
    return bytes_


def sheet(videos: NDArray[np.uint8], captions: list[str]) -> Image.Image:
    """Frames from left to right, captions above them."""
    number, frames, height, width = videos.shape[:4]
    page = Image.new("RGB", (frames * width, number * (height + LINE)), "white")
    for row, (video, caption) in enumerate(zip(videos, captions, strict=True)):
        top = row * (height + LINE)
        ImageDraw.Draw(page).text((2, top + 1), caption, fill="black")
        page.paste(Image.fromarray(np.concatenate(list(video), axis=1)), (0, top + LINE))
    return page


def verdicts(videos: NDArray[np.uint8], scenes: list[Scene]) -> list[Verdict]:
    """Of each thing of each scene."""
    return [
        judge(video, thing.colour, thing.shape, thing.verb)
        for video, scene in zip(videos, scenes, strict=True)
        for thing in scene.things
    ]


def main() -> None:
    """Sample, judge, print shares; write the sheet."""
    parser = argparse.ArgumentParser()
    parser.add_argument("base", type=Path)
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--things", type=int, choices=(1, 2), help="in each scene")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--device", choices=("auto", "cpu"), default="auto")
    args = parser.parse_args()
    base = load_pretrained(str(args.base))
    device = chosen_device(args.device)
    network, vae = base.transformer.to(device), base.vae.to(device)
    scenes = [draw_scene(HELD_OUT_SEED, n, things=args.things) for n in range(args.count)]
    captions = [scene.caption for scene in scenes]
    text = embed([*captions, ""])
    videos = np.concatenate([
        shown(
            vae,
            sample(
                network, text[at : at + 16][: args.count - at], text[-1:],
                steps=args.steps, guidance=args.guidance, seed=args.seed + at,
            ),
        )
        for at in range(0, args.count, 16)
    ])  # fmt: skip
    found = verdicts(videos, scenes)
    for name in ("colour", "shape", "motion"):
        right = sum(getattr(verdict, name) for verdict in found)
        print(f"{name}: right in {right} of {len(found)} ({right / len(found):.0%})")
    if args.sheet:
        sheet(videos[:24, ::2], captions[:24]).save(args.sheet)


if __name__ == "__main__":
    main()
