"""Train the decoder that finds the pixels a noun means: `MaskDecoder` on samples of features.

    python -m examples.embedded.train_masks samples/ runs/masks --steps 4000

A run that is cut goes on from its newest checkpoint when the same line is run again. Where there is
a GPU, it is used.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from examples.training import fit_steps
from fbridge.codecs.scenes.segmenter import MaskDecoder
from fbridge.config.tree import TrainConfig
from fbridge.train.events import Stepped

BATCH = 16


def mask_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Cross-entropy and Dice of logits (B, 1, h, w) against masks (B, h, w) in [0, 1]."""
    logits = logits[:, 0]
    entropy = binary_cross_entropy_with_logits(logits, masks, reduction="none").mean((1, 2))
    guess = logits.sigmoid()
    both = 2 * (guess * masks).sum((1, 2)) + 1
    dice = 1 - both / (guess.sum((1, 2)) + masks.sum((1, 2)) + 1)
    return (entropy + dice).mean()


class SampleLoss:
    """Draws the batch of a step by the step alone: rows of one shard."""

    def __init__(self, samples: Path) -> None:
        self.paths = [p for p in sorted(samples.glob("*.safetensors")) if "held" not in p.name]

    def batch(self, step: int) -> dict[str, Tensor]:
        """Float32 tensors of a step's samples."""
        draw = torch.Generator().manual_seed(step)
        path = self.paths[int(torch.randint(len(self.paths), (1,), generator=draw))]
        return read_rows(path, draw)

    def __call__(self, net: nn.Module, step: int) -> Tensor:
        """The loss of one batch."""
        device = next(net.parameters()).device
        batch = {key: value.to(device) for key, value in self.batch(step).items()}
        return mask_loss(decode(net, batch), batch["mask"])


def read_rows(path: Path, draw: torch.Generator) -> dict[str, Tensor]:
    """A run of neighbouring rows of a shard, of which only those are read."""
    with safe_open(path, "pt") as file:
        keys = list(file.keys())
        count = file.get_slice("mask").get_shape()[0]
        start = int(torch.randint(count - BATCH + 1, (1,), generator=draw))
        rows = {key: file.get_slice(key)[start : start + BATCH].float() for key in keys}
    return rows | {"mask": rows["mask"] / 255}


def decode(net: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Logits (B, 1, h, w) of a batch."""
    maps = [batch[f"map{level}"] for level in range(1, 5)]
    logits: Tensor = net((maps[0], *maps), batch["hints"])
    return logits


def main() -> None:
    """Train, report, keep the averaged weights in half precision."""
    parser = argparse.ArgumentParser()
    parser.add_argument("samples", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--precision", default="bf16")
    args = parser.parse_args()
    torch.manual_seed(0)
    net = MaskDecoder().train()
    config = TrainConfig(
        steps=args.steps,
        lr=1.5e-3,
        warmup=100,
        lr_schedule="cosine",
        betas=(0.9, 0.99),
        weight_decay=0.01,
        precision=args.precision,
        checkpoint_every=200,
    )
    loss = SampleLoss(args.samples)
    for event in fit_steps(net, loss, config, args.run, decay=0.998):
        if isinstance(event, Stepped):
            print(f"{event.step} {event.loss:.4f} {event.seconds:.2f} s/step", flush=True)
    weights = {key: value.half().cpu() for key, value in net.state_dict().items()}
    save_file(weights, args.run / "masks.safetensors")


if __name__ == "__main__":
    main()
