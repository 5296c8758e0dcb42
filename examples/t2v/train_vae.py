"""Train the autoencoder of the small text-to-video model, a miniature of Wan's.

    python -m examples.t2v.train_vae runs/vae --steps 3200

The first part of the steps sees squares of half the frame's side around a thing, where nearly all
of the error is, the last part whole frames. Latents get noise while the decoder learns, so that a
little error in them shows little; a penalty holds each channel near mean 0 and spread 1.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from examples.t2v.muon import muon_for
from examples.t2v.scene_clips import HELD_OUT_SEED, TRAIN_SEED, drawn, frames_and_middle
from examples.t2v.wan_vae import decode, encode, make_vae
from examples.training import device_of, fit_steps
from fbridge.config.tree import TrainConfig
from fbridge.train.events import Stepped

CROP = 32
"""Side of a square."""
WHOLE = 2
"""Whole clips in a batch, or four times as many squares: both cost the same."""
CROPPED = 0.6
"""Share of the steps that see squares."""
NOISE = 0.1
"""Standard deviation of the noise on the latents that the decoder is trained with."""


def signed(frames: Tensor) -> Tensor:
    """Bytes as the autoencoder takes them: [-1, 1]."""
    return frames.float() / 127.5 - 1


class ClipLoss:
    """Errors of pixels and of differences between neighbours in space and time; the latents' law.

    Args:
        frames: (N, 3, F, H, W) uint8.
        middles: (N, 2) row and column around which squares are cut.
        steps: of the whole training.
        batch: whole clips in a batch.
        bf16: multiply in bfloat16.
    """

    def __init__(
        self, frames: Tensor, middles: Tensor, steps: int, *, batch: int, bf16: bool
    ) -> None:
        self.frames, self.middles, self.steps = frames, middles, steps
        self.batch, self.bf16 = batch, bf16

    def _batch(self, step: int, draw: torch.Generator) -> Tensor:
        if step >= CROPPED * self.steps:
            return self.frames[torch.randint(len(self.frames), (self.batch,), generator=draw)]
        many = 4 * self.batch
        rows = torch.randint(len(self.frames), (many,), generator=draw)
        shift = torch.randint(-12, 13, (many, 2), generator=draw) - CROP // 2
        corners = (self.middles[rows] + shift).clamp(0, self.frames.shape[-1] - CROP)
        return torch.stack([
            self.frames[row, :, :, top : top + CROP, left : left + CROP]
            for row, (top, left) in zip(rows.tolist(), corners.tolist(), strict=True)
        ])  # fmt: skip

    def __call__(self, vae: Any, step: int) -> Tensor:
        """The loss of the step's batch."""
        draw = torch.Generator().manual_seed(step)
        device = device_of(vae)
        clips = signed(self._batch(step, draw).to(device))
        with torch.autocast(device.type, torch.bfloat16, enabled=self.bf16):
            latents, _ = encode(vae, clips)
            noise = torch.randn(latents.shape, generator=draw).to(device)
            shown = decode(vae, latents + NOISE * noise)
        latents, error = latents.float(), shown.float() - clips
        mean, spread = latents.mean((0, 2, 3, 4)), latents.std((0, 2, 3, 4))
        pixels = error.abs().mean() + 4 * error.square().mean()
        edges = sum(error.diff(dim=axis).abs().mean() for axis in (2, 3, 4))
        law = (mean.square() + (spread - 1).square()).mean()
        return pixels + 0.5 * edges + 0.02 * law


@torch.no_grad()
def measure(vae: Any, frames: Tensor) -> tuple[Tensor, Tensor, float]:
    """Mean and spread of each latent channel; decibels of what comes back, rounded to bytes."""
    squares, coded = [], []
    for part in frames.split(8):
        part = part.to(device_of(vae))
        latents, _ = encode(vae, signed(part))
        shown = ((decode(vae, latents).clamp(-1, 1) + 1) * 127.5).round()
        squares.append((shown - part.float()).square().mean((1, 2, 3, 4)).cpu())
        coded.append(latents.cpu())
    every = torch.cat(coded)
    ratio = 10 * torch.log10(255**2 / torch.cat(squares).mean())
    return every.mean((0, 2, 3, 4)), every.std((0, 2, 3, 4)), float(ratio)


@torch.no_grad()
def make_certain(vae: Any) -> None:
    """Give all latents the variance of nothing, for it was not trained: a sample is the mean."""
    rows = slice(vae.config.z_dim, None)
    vae.quant_conv.weight[rows] = 0
    vae.quant_conv.bias[rows] = -30  # where diffusers clamps it


def load(seed: int, count: int) -> tuple[Tensor, Tensor]:
    """Frames (N, 3, F, H, W) uint8 and middles (N, 2)."""
    clips, middles = zip(*drawn(frames_and_middle, seed, count), strict=True)
    return torch.from_numpy(np.stack(clips)), torch.tensor(middles)


def main() -> None:
    """Train, measure, keep the averaged weights with the latents' mean and spread."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--steps", type=int, default=3200)
    parser.add_argument("--clips", type=int, default=8000)
    parser.add_argument("--batch", type=int, default=WHOLE, help="whole clips in a batch")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--bf16", action="store_true", help="for processors that multiply so")
    parser.add_argument("--device", choices=("auto", "cpu"), default="auto")
    args = parser.parse_args()
    torch.manual_seed(0)
    vae = make_vae().train()
    frames, middles = load(TRAIN_SEED, args.clips)
    held, _ = load(HELD_OUT_SEED, 64)
    config = TrainConfig(
        steps=args.steps,
        lr=args.lr,
        warmup=100,
        lr_schedule="cosine",
        checkpoint_every=max(250, args.steps // 20),
    )
    loss = ClipLoss(frames, middles, args.steps, batch=args.batch, bf16=args.bf16)
    optimizer = muon_for(
        vae, lambda name: "conv_in" not in name and "conv_out" not in name, args.lr
    )
    for event in fit_steps(
        vae, loss, config, args.run, decay=0.998, device=args.device, optimizer=optimizer
    ):
        if isinstance(event, Stepped):
            print(f"{event.step} {event.loss:.4f} {event.seconds:.3f} s/step", flush=True)
            if event.step % 250 == 0:
                print(f"held-out clips {measure(vae, held)[2]:.2f} dB, not averaged", flush=True)
    mean, spread, ratio = measure(vae.eval(), frames[:200])
    final = make_vae([round(float(m), 4) for m in mean], [round(float(s), 4) for s in spread])
    final.load_state_dict(vae.state_dict())
    make_certain(final.to(device_of(vae)))
    final.save_pretrained(args.run / "final")
    print(f"training clips {ratio:.2f} dB")
    print(f"held-out clips {measure(vae, load(HELD_OUT_SEED, 250)[0])[2]:.2f} dB")


if __name__ == "__main__":
    main()
