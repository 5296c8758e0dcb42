"""Train the network that segments a picture into layers: `LayerNet` on composed scenes.

python -m examples.embedded.train_layers scenes/ runs/layers --steps 6000
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn

from examples.embedded.scenes.shards import Shard
from examples.training import fit_steps
from fbridge.codecs.layers import LayerNet, masks_of
from fbridge.config.tree import TrainConfig
from fbridge.train.events import Stepped

BATCH = 24


def mask_losses(logits: Tensor, masks: Tensor, named: Tensor) -> Tensor:
    """Cross-entropy and Dice on masks (B, 2, H, W) of samples whose caption names them (B,)."""
    truth = torch.cat([masks, 1 - masks.sum(1, keepdim=True).clamp(0, 1)], 1)
    named = named.float()[:, None]
    entropy = -(truth * logits.log_softmax(1)).sum(1).mean((1, 2))[:, None]
    guess = masks_of(logits)
    size = guess.sum((2, 3)) + masks.sum((2, 3))
    present = masks.sum((2, 3)) > 0
    dice = (1 - (2 * (guess * masks).sum((2, 3)) + 1) / (size + 1)) * present
    overlap = (dice * named).sum() / (present * named).sum().clamp_min(1)
    return (entropy * named).mean() + overlap


class SceneLoss:
    """Draws the batch of a step from the shards that exist, by the step alone."""

    def __init__(self, scenes: Path) -> None:
        self.scenes = scenes
        self._shards: dict[Path, Shard] = {}

    def batch(self, step: int) -> tuple[Shard, Tensor]:
        """The step's shard and rows."""
        paths = sorted(self.scenes.glob("train-*.safetensors"))
        draw = torch.Generator().manual_seed(step)
        path = paths[int(torch.randint(len(paths), (1,), generator=draw))]
        if path not in self._shards:
            if len(self._shards) > 64:
                self._shards.pop(next(iter(self._shards)))
            self._shards[path] = Shard(path)
        shard = self._shards[path]
        return shard, torch.randperm(len(shard), generator=draw)[:BATCH]

    def __call__(self, net: nn.Module, step: int) -> Tensor:
        """The loss of one batch."""
        return evaluate(net, *self.batch(step))


def evaluate(net: nn.Module, shard: Shard, rows: Tensor) -> Tensor:
    """The loss on given rows of a shard."""
    picture = shard.pixels("picture", rows).contiguous(memory_format=torch.channels_last)
    logits = net(picture, *shard.text(rows))
    return mask_losses(logits, shard.pixels("masks", rows), shard.supervise(rows))


def main() -> None:
    """Train, report, keep the averaged weights."""
    parser = argparse.ArgumentParser()
    parser.add_argument("scenes", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--weights", type=Path, help="a LayerNet folder to go on from")
    args = parser.parse_args()
    torch.manual_seed(0)
    net = LayerNet.from_pretrained(args.weights) if args.weights else LayerNet()
    net = net.train().to(memory_format=torch.channels_last)
    config = TrainConfig(
        steps=args.steps,
        lr=1.5e-3,
        warmup=200,
        lr_schedule="cosine",
        betas=(0.9, 0.99),
        weight_decay=0.01,
        precision="bf16",
        checkpoint_every=250,
    )
    loss = SceneLoss(args.scenes)
    for event in fit_steps(net, loss, config, args.run, decay=0.998, device="cpu"):
        if isinstance(event, Stepped):
            print(f"{event.step} {event.loss:.4f} {event.seconds:.2f} s/step", flush=True)
    net.save_pretrained(args.run / "final")


if __name__ == "__main__":
    main()
