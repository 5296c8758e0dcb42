"""Train the picture autoencoder of the small text-to-video model: diffusers' AutoencoderTiny.

    python -m examples.t2v.train_vae clips/ runs/vae --steps 4000

Latents get noise while the decoder learns, so that a little error in them shows little; a penalty
holds each channel near mean 0 and spread 1. The config's scaling factor makes their spread one.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderTiny
from torch import Tensor

from examples.training import fit_steps
from fbridge.config.tree import TrainConfig
from fbridge.data.shapes import FRAMES
from fbridge.data.video_files import read_video
from fbridge.train.events import Stepped

BATCH = 8
WIDTH, CHANNELS = 32, 8
NOISE = 0.1
"""Standard deviation of the noise on the latents that the decoder is trained with."""


def make_vae(scaling_factor: float = 1.0) -> AutoencoderTiny:
    """Three halvings; nearly all of its layers work on the small grids, where they cost little."""
    return AutoencoderTiny(
        latent_channels=CHANNELS,
        encoder_block_out_channels=(WIDTH,) * 4,
        decoder_block_out_channels=(WIDTH,) * 4,
        num_encoder_blocks=(0, 1, 3, 4),
        num_decoder_blocks=(4, 3, 1, 0),
        scaling_factor=scaling_factor,
    )


def load_frames(folder: Path, clips: int) -> Tensor:
    """(N, 3, H, W) uint8: the frames of the first clips of a folder, each clip's in a row."""
    videos = [read_video(path).frames for path in sorted(folder.glob("*.mp4"))[:clips]]
    return torch.from_numpy(np.concatenate(videos)).permute(0, 3, 1, 2).contiguous()


def signed(frames: Tensor) -> Tensor:
    """Bytes as the autoencoder takes them: [-1, 1], channels last."""
    return (frames.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


class PictureLoss:
    """Absolute error of pixels and of differences between neighbours, and the latents' law."""

    def __init__(self, frames: Tensor) -> None:
        self.frames = frames

    def __call__(self, vae: Any, step: int) -> Tensor:
        """The loss of the step's batch."""
        draw = torch.Generator().manual_seed(step)
        rows = torch.randint(len(self.frames), (BATCH,), generator=draw)
        pictures = signed(self.frames[rows])
        latents = vae.encode(pictures).latents
        noise = torch.randn(latents.shape, generator=draw)
        shown = vae.decode(latents + NOISE * noise).sample
        mean, spread = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
        error = shown - pictures
        pixels = error.abs().mean() + 3 * error.square().mean()
        edges = error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()
        law = (mean.square() + (spread - 1).square()).mean()
        return pixels + edges + 0.02 * law


@torch.no_grad()
def measure(vae: AutoencoderTiny, frames: Tensor) -> tuple[float, float]:
    """Spread of the latents, and the peak signal-to-noise ratio of reconstructions in decibels."""
    squares, coded = [], []
    for part in frames.split(64):
        latents = vae.encode(signed(part)).latents
        shown = ((vae.decode(latents).sample.clamp(-1, 1) + 1) * 127.5).round()
        squares.append((shown - part.float()).square().mean((1, 2, 3)))
        coded.append(latents)
    error = torch.cat(squares).mean()
    return float(torch.cat(coded).std()), float(10 * torch.log10(255**2 / error))


def main() -> None:
    """Train, measure, keep the averaged weights with the scaling factor that fits them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("clips", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--train-clips", type=int, default=2500)
    parser.add_argument("--held-out", type=Path, help="a folder of clips to measure on")
    args = parser.parse_args()
    torch.manual_seed(0)
    vae = make_vae().train().to(memory_format=torch.channels_last)
    frames = load_frames(args.clips, args.train_clips)
    config = TrainConfig(
        steps=args.steps,
        lr=2e-3,
        warmup=200,
        lr_schedule="cosine",
        betas=(0.9, 0.99),
        weight_decay=0.01,
    )
    loss = PictureLoss(frames)
    for event in fit_steps(vae, loss, config, args.run, decay=0.998, device="cpu"):
        if isinstance(event, Stepped):
            print(f"{event.step} {event.loss:.4f} {event.seconds:.3f} s/step", flush=True)
    spread, ratio = measure(vae.eval(), frames[: 200 * FRAMES])
    final = make_vae(scaling_factor=round(1 / spread, 4))
    final.load_state_dict(vae.state_dict())
    final.save_pretrained(args.run / "final")
    print(f"latents' spread {spread:.4f}; training frames {ratio:.2f} dB")
    if args.held_out:
        print(f"held-out frames {measure(vae, load_frames(args.held_out, 200))[1]:.2f} dB")


if __name__ == "__main__":
    main()
