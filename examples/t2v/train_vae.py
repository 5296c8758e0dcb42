"""Train the autoencoder of the small text-to-video model, a miniature of Wan's.

    python -m examples.t2v.train_vae runs/vae --steps 3200

The first part of the steps sees squares of half the frame's side around a thing, where nearly all
of the error is, the last part whole frames. Latents get noise while the decoder learns, so that a
little error in them shows little; a penalty holds each channel near mean 0 and spread 1.

    python -m examples.t2v.train_vae runs/outlines --begin runs/vae/final --steps 1800

goes on with outlines: scenes of two things, whose small ones are blurred by then, and errors near
things count seven times as much as others. Latents are drawn towards those that they were, but
gently: held tightly, they keep the blur. A transformer that knows the old ones has to go on with
the new.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from examples.t2v.muon import muon_for
from examples.t2v.scene_clips import HELD_OUT_SEED, TRAIN_SEED, drawn, frames_and_things
from examples.t2v.train_t2v import parts
from examples.t2v.wan_vae import decode, encode, make_vae
from examples.training import chosen_device, device_of, fit_steps
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
FAR, NEAR = 0.3, 2.3
"""Weights of errors, where outlines are gone on with, away from things and near them."""
KEPT = 0.05
"""Weight of the latents' distance to those before; at 1 hardly more outlines are seen."""


def signed(frames: Tensor) -> Tensor:
    """Bytes as the autoencoder takes them: [-1, 1]."""
    return frames.float() / 127.5 - 1


@dataclass(frozen=True)
class Scenes:
    """Drawn scenes.

    Attributes:
        frames: (N, 3, F, H, W) uint8.
        things: (N, F, H, W) bool, where things are.
        middles: (N, 2, 2) row and column of both, around which squares are cut.
    """

    frames: Tensor
    things: Tensor
    middles: Tensor

    def whole(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Frames (B, 3, F, H, W) and where things are (B, F, H, W)."""
        return self.frames[rows], self.things[rows]

    def squares(self, rows: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
        """The same of squares around either thing."""
        either = torch.randint(2, (len(rows),), generator=draw)
        shift = torch.randint(-12, 13, (len(rows), 2), generator=draw) - CROP // 2
        corners = (self.middles[rows, either] + shift).clamp(0, self.frames.shape[-1] - CROP)
        places = [
            (row, ..., slice(top, top + CROP), slice(left, left + CROP))
            for row, (top, left) in zip(rows.tolist(), corners.tolist(), strict=True)
        ]
        return (
            torch.stack([self.frames[place] for place in places]),
            torch.stack([self.things[place] for place in places]),
        )


class ClipLoss:
    """Errors of pixels and of differences between neighbours in space and time; the latents' law.

    Args:
        scenes: what is learnt from.
        steps: of the whole training.
        batch: whole clips in a batch.
        bf16: multiply in bfloat16.
        before: an autoencoder that is gone on with: its latents are to be kept.
    """

    def __init__(
        self, scenes: Scenes, steps: int, *, batch: int, bf16: bool, before: Any = None
    ) -> None:
        self.scenes, self.steps, self.batch, self.bf16 = scenes, steps, batch, bf16
        self.before = before

    def _batch(self, step: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
        cropped = step % 3 < 2 if self.before is not None else step < CROPPED * self.steps
        many = self.batch * (4 if cropped else 1)
        rows = torch.randint(len(self.scenes.frames), (many,), generator=draw)
        return self.scenes.squares(rows, draw) if cropped else self.scenes.whole(rows)

    def _law(self, latents: Tensor, clips: Tensor) -> Tensor:
        """What latents miss of theirs before, or else of mean 0 and spread 1."""
        if self.before is not None:
            with torch.no_grad():
                known, _ = encode(self.before, clips)
            return KEPT * (latents - known).square().mean()
        mean, spread = latents.mean((0, 2, 3, 4)), latents.std((0, 2, 3, 4))
        return 0.02 * (mean.square() + (spread - 1).square()).mean()

    def __call__(self, vae: Any, step: int) -> Tensor:
        """The loss of the step's batch."""
        draw = torch.Generator().manual_seed(step)
        device = device_of(vae)
        frames, things = self._batch(step, draw)
        clips, weight = signed(frames.to(device)), torch.ones(())
        if self.before is not None:
            near = F.max_pool3d(things[:, None].float(), (1, 5, 5), 1, (0, 2, 2)).to(device)
            weight = FAR + (NEAR - FAR) * near
            weight = weight / weight.mean()
        with torch.autocast(device.type, torch.bfloat16, enabled=self.bf16):
            latents, _ = encode(vae, clips)
            noise = torch.randn(latents.shape, generator=draw).to(device)
            shown = decode(vae, latents + NOISE * noise)
        latents, error = latents.float(), shown.float() - clips
        weight = weight.to(device).expand_as(error)
        pixels = (weight * (error.abs() + 4 * error.square())).mean()
        edges = sum(
            (weight.narrow(axis, 1, weight.shape[axis] - 1) * error.diff(dim=axis).abs()).mean()
            for axis in (2, 3, 4)
        )
        return pixels + 0.5 * edges + self._law(latents, clips)


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


def load(seed: int, count: int, things: int | None = None) -> Scenes:
    """Scenes of a seed, of one or two things or of just so many."""
    frames, covered, middles = zip(
        *drawn(frames_and_things, seed, count, things=things), strict=True
    )
    return Scenes(
        torch.from_numpy(np.stack(frames)),
        torch.from_numpy(np.stack(covered)),
        torch.tensor(middles),
    )


def finished(vae: Any, frames: Tensor, before: Any) -> Any:
    """The trained autoencoder with its latents' mean and spread, those of before if it went on."""
    mean, spread, ratio = measure(vae.eval(), frames)
    print(f"training clips {ratio:.2f} dB")
    law = [[round(float(value), 4) for value in values] for values in (mean, spread)]
    if before is not None:
        law = [before.config.latents_mean, before.config.latents_std]
    final = make_vae(*law)
    final.load_state_dict(vae.state_dict())
    make_certain(final.to(device_of(vae)))
    return final


def main() -> None:
    """Train, measure, keep the averaged weights with the latents' mean and spread."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--steps", type=int, default=3200)
    parser.add_argument("--clips", type=int, default=8000)
    parser.add_argument("--batch", type=int, default=WHOLE, help="whole clips in a batch")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--begin", type=Path, help="go on with that of a folder or base file")
    parser.add_argument("--bf16", action="store_true", help="for processors that multiply so")
    parser.add_argument("--device", choices=("auto", "cpu"), default="auto")
    args = parser.parse_args()
    torch.manual_seed(0)
    vae, before = make_vae().train(), None
    if args.begin:
        before = parts(args.begin)[0].float().requires_grad_(False)
        before = before.to(chosen_device(args.device))
        vae.load_state_dict(before.state_dict())
    scenes = load(TRAIN_SEED, args.clips, things=2 if args.begin else None)
    held = load(HELD_OUT_SEED, 64).frames
    config = TrainConfig(
        steps=args.steps,
        lr=args.lr,
        warmup=100,
        lr_schedule="cosine",
        checkpoint_every=max(250, args.steps // 20),
    )
    loss = ClipLoss(scenes, args.steps, batch=args.batch, bf16=args.bf16, before=before)
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
    final = finished(vae, scenes.frames[:200], before)
    final.save_pretrained(args.run / "final")
    print(f"held-out clips {measure(final, load(HELD_OUT_SEED, 250).frames)[2]:.2f} dB")


if __name__ == "__main__":
    main()
