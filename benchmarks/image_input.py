"""The picture natively, by the bridge, or in both ways: one small base, the same seeds.

The base is an LTX-Video of 0.15 million weights on latents of blobs that move; its prompt tells the
direction. It is trained here as makers of such bases train it: flow matching, in half of the clips
with the first frame clean and at time 0. Then, on clips that were never trained on, it prints the
squared error of sampled latents behind the first frame, as a share of the error of the repeated
picture: of the base untrained, by strength, and after fine-tuning, by steps.

    python benchmarks/image_input.py --base-steps 1000 --steps 30,100,250
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from diffusers import LTXVideoTransformer3DModel
from torch import Tensor

from fbridge.backbones.families import as_backbone, family_of
from fbridge.choices import IMAGE_INPUTS
from fbridge.config.tree import TimesConfig, WeightConfig
from fbridge.denoiser import BridgeDenoiser
from fbridge.prior import ReplicatePrior
from fbridge.sampling import build_sampler, seeded_noise, time_grid
from fbridge.scheduler import FrameBridgeScheduler
from fbridge.train.batches import TrainingBatch
from fbridge.train.losses import BridgeTraining, PriorStart
from fbridge.types import Condition

FRAMES, CHANNELS, SIDE, WORDS = 3, 4, 4, 8
BATCH, HELD_OUT, SAMPLING_STEPS = 16, 64, 10
PARTS = {"native": 0, "bridge": 1, "both": 1}
"""Input channels beside the latents, as `fbridge finetune` adds them: of the prior, or none."""


def clips(count: int, seed: int) -> TrainingBatch:
    """Blobs on plain grounds that move by a pixel a frame, and their random numbers."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(count, *shape, generator=generator)

    way = torch.randint(4, (count,), generator=generator)
    step = torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]])[way]
    place = torch.rand(count, 2, generator=generator) * (SIDE - 1)
    centres = place[:, None] + torch.arange(FRAMES)[:, None] * step[:, None]  # (B, F, 2)
    axis = torch.arange(SIDE)
    rows, columns = ((axis - centres[..., n, None]).square() for n in (0, 1))
    blob = (-(rows[..., :, None] + columns[..., None, :]) / 2).exp()[:, :, None]
    ground, colour = (normal(1, CHANNELS, 1, 1) for _ in range(2))
    clean = ground + (colour - ground) * blob
    words = torch.eye(WORDS)[way][:, None]
    condition = Condition(words, torch.ones(count, 1, dtype=torch.bool), clean[:, 0])
    uniform = torch.rand(count, generator=generator, dtype=torch.float64)
    still = clean[:, :1].expand_as(clean)
    noise = normal(FRAMES, CHANNELS, SIDE, SIDE)
    rows_of = torch.arange(count)
    return TrainingBatch(rows_of, clean, still, condition, condition, noise, uniform, None)


def train_base(steps: int) -> Any:
    """Flow matching, in half of the clips with the picture as first frame."""
    torch.manual_seed(0)
    network = LTXVideoTransformer3DModel(
        in_channels=CHANNELS, out_channels=CHANNELS, num_attention_heads=4, attention_head_dim=12,
        cross_attention_dim=48, num_layers=3, caption_channels=WORDS,
    )  # fmt: skip
    backbone, optimizer = as_backbone(network), _adam(network, 1e-3)
    for step in range(steps):
        batch = clips(BATCH, step)
        s = batch.uniform.float()[:, None].expand(-1, FRAMES).clone()
        s[BATCH // 2 :, 0] = 0
        share = s[..., None, None, None]
        state = (1 - share) * batch.clean + share * batch.noise
        found = backbone(state, 1000 * s, batch.condition, batch.still)
        error = (found - (batch.noise - batch.clean)).square().mean((2, 3, 4))
        loss = (error * (s > 0)).sum() / (s > 0).sum()
        _update(optimizer, loss, 1 - step / steps)
    return network.eval()


def finetune(base: Any, way: str, steps: Sequence[int], seed: int) -> list[float]:
    """Errors of a copy of the base that is trained as a bridge, after so many steps each."""
    network = deepcopy(base)
    family_of(network).make_room(network, PARTS[way])
    scheduler = _scheduler(way)
    task = BridgeTraining(
        scheduler.process,
        scheduler.parameterization,
        PriorStart(ReplicatePrior()),
        TimesConfig(),
        WeightConfig(),
    )
    backbone, optimizer = as_backbone(network), _adam(network, 3e-4)
    found = []
    for step in range(1, max(steps) + 1):
        batch = clips(BATCH, 10**6 * (1 + seed) + step)
        _update(optimizer, task(backbone, batch).mean(), 1.0)
        if step in steps:
            found.append(error(network, way, 1.0))
    return found


@torch.no_grad()
def error(network: Any, way: str, strength: float) -> float:
    """Error of sampled latents behind the first frame, in errors of the repeated picture."""
    batch, scheduler = clips(HELD_OUT, 10**9), _scheduler(way)
    found = build_sampler("ode").sample(
        BridgeDenoiser(as_backbone(network), scheduler.parameterization),
        scheduler.process,
        batch.still,
        strength * time_grid(SAMPLING_STEPS),
        batch.condition,
        noise=seeded_noise(range(HELD_OUT), device=torch.device("cpu"), dtype=torch.float32),
    )
    still, made = ((x - batch.clean)[:, 1:].square().mean().item() for x in (batch.still, found))
    return made / still


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--base-steps", type=int, default=1000)
    parser.add_argument("--steps", type=lambda text: [int(n) for n in text.split(",")],
                        default=[30, 100, 250], metavar="N,N,...")  # fmt: skip
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    base = train_base(options.base_steps)
    print(f"base of {options.base_steps} steps, untrained as a bridge")
    strengths = (0.3, 0.5, 0.7, 0.9, 1.0)
    print("input   " + "".join(f"  strength {one:g}" for one in strengths))
    for way in IMAGE_INPUTS:
        row = "".join(f"{error(base, way, one):14.3f}" for one in strengths)
        print(f"{way:8}{row}", flush=True)
    print("fine-tuned, whole bridge, a number a seed")
    for way in IMAGE_INPUTS:
        made = [finetune(base, way, options.steps, seed) for seed in range(options.seeds)]
        for steps, held in zip(options.steps, zip(*made, strict=True), strict=True):
            print(f"{way:8}{steps:6} steps " + "".join(f"{one:8.3f}" for one in held), flush=True)


def _scheduler(way: str) -> FrameBridgeScheduler:
    return FrameBridgeScheduler(prediction="aligned-flow", base={"kind": "flow"}, image_input=way)


def _adam(network: Any, lr: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=0)


def _update(optimizer: torch.optim.Optimizer, loss: Tensor, left: float) -> None:
    """One step, with a learning rate that falls in a line over the last fifth of the run."""
    for group in optimizer.param_groups:
        group.setdefault("full", group["lr"])
        group["lr"] = group["full"] * min(1.0, 5 * left)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], 1.0)
    optimizer.step()
    optimizer.zero_grad()


if __name__ == "__main__":
    main()
