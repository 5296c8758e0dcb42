"""Train the small text-to-video model: a miniature of diffusers' Wan transformer.

    python -m examples.t2v.train_t2v runs/vae/final runs/t2v --still 3000 --steps 9000

It predicts the flow's velocity. The first steps see first frames alone, from which colours and
shapes are learnt five times as fast as from clips; then come clips. While it is trained, a linear
layer tells from features of its third block what was drawn where (as REPA, arXiv 2410.06940, does
with features of another network); it is no part of the result.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from numpy.typing import NDArray
from torch import Tensor, nn

from examples.t2v.muon import muon_for
from examples.t2v.scene_clips import HELD_OUT_SEED, TRAIN_SEED, drawn
from examples.t2v.wan_vae import CHANNELS, encode
from examples.training import chosen_device, device_of, fit_steps
from fbridge.backbones.wan import MINILM_TOKENS
from fbridge.config.tree import TrainConfig
from fbridge.data.scenes import KNOWN, SCENE_FRAMES, SCENE_SIZE, Scene
from fbridge.data.shapes import COLOURS, SHAPES
from fbridge.loaders.load import load_pretrained
from fbridge.loaders.text_encoder import load_text_encoder
from fbridge.train.events import Stepped

BATCH = 16
"""Clips in a batch: enough to keep a processor busy; an accelerator makes ten times as many in the
same time."""
PICTURES = 4
"""First frames in a batch for each clip in one: the two batches cost about the same."""
TEXT_DROPOUT = 0.1
SHIFT = 3.0
"""Of the noise levels that are trained, as Wan's sampler shifts them."""
CELL, STRIDE = 8, 4
"""Pixels and frames of a latent pixel."""
TOLD_AFTER, TOLD_WEIGHT = 2, 0.5
"""The block whose features tell the truth, and the weight of their error."""
FACTS = len(COLOURS) + len(SHAPES) + len(KNOWN)


def make_transformer() -> WanTransformer3DModel:
    """3.4 M parameters; a token is one latent pixel of 8x8 pixels and four frames."""
    return WanTransformer3DModel(
        patch_size=(1, 1, 1),
        num_attention_heads=3,
        attention_head_dim=64,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        text_dim=384,
        freq_dim=128,
        ffn_dim=512,
        num_layers=6,
        cross_attn_norm=True,
        rope_max_seq_len=64,
    )


def parts(place: Path) -> tuple[Any, Any]:
    """Autoencoder and transformer of a file of assemble; of a folder the autoencoder alone."""
    if place.is_dir():
        return AutoencoderKLWan.from_pretrained(place).eval(), None
    base = load_pretrained(str(place))
    return base.vae.eval(), base.transformer.float()


class Told(nn.Module):
    """The network, and the layer that tells what is where from its features."""

    def __init__(self, network: WanTransformer3DModel) -> None:
        super().__init__()
        self.network = network
        self.tell = nn.Linear(network.config.num_attention_heads * 64, FACTS)
        self.features: Tensor | None = None
        network.blocks[TOLD_AFTER].register_forward_hook(self._keep)

    def _keep(self, _block: nn.Module, _given: Any, features: Tensor) -> None:
        self.features = features

    def forward(self, noisy: Tensor, sigma: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """Velocity (B, C, f, h, w), and facts (B, f*h*w, FACTS)."""
        velocity = self.network(noisy, sigma * 1000, text, return_dict=False)[0]
        assert self.features is not None
        return velocity, self.tell(self.features)


def true_facts(scene: Scene) -> NDArray[np.float16]:
    """(f*h*w, FACTS): how much of each token things of each colour, shape and verb cover."""
    side = SCENE_SIZE // CELL
    found = np.zeros((FACTS, 1 + (len(scene.frames) - 1) // STRIDE, side, side), np.float16)
    for thing in scene.things:
        cells = thing.cover.reshape(-1, side, CELL, side, CELL).mean((2, 4))
        spans = cells[1:].reshape(-1, STRIDE, side, side).mean(1)
        places = (
            list(COLOURS).index(thing.colour),
            len(COLOURS) + list(SHAPES).index(thing.shape),
            len(COLOURS) + len(SHAPES) + KNOWN.index(thing.verb),
        )
        for place in places:
            found[place] = np.maximum(found[place], np.concatenate([cells[:1], spans]))
    return np.ascontiguousarray(found.reshape(FACTS, -1).T)


def _learnt(scene: Scene) -> tuple[NDArray[np.uint8], str, NDArray[np.float16], int]:
    """Without torch, whose threads do not survive a fork."""
    frames = np.ascontiguousarray(scene.frames.transpose(3, 0, 1, 2))
    return frames, scene.caption, true_facts(scene), len(scene.things)


@dataclass(frozen=True)
class Clips:
    """Clips as the network learns them.

    Attributes:
        latents: (N, C, f, h, w) of mean 0 and spread 1.
        text: (N, TOKENS, D) float16.
        facts: (N, f*h*w, FACTS) float16.
        things: (N,) number of things.
    """

    latents: Tensor
    text: Tensor
    facts: Tensor
    things: Tensor

    def to(self, device: torch.device) -> Clips:
        """The same on a device."""
        return Clips(**{name: held.to(device) for name, held in vars(self).items()})


@torch.no_grad()
def normalised(vae: Any, frames: Tensor) -> Tensor:
    """Latents (N, C, f, h, w) of frames (N, 3, F, H, W) uint8."""
    device = device_of(vae)
    mean, spread = (
        torch.tensor(held, device=device).view(1, -1, 1, 1, 1)
        for held in (vae.config.latents_mean, vae.config.latents_std)
    )
    pixels = frames.to(device).float() / 127.5 - 1
    return ((encode(vae, pixels)[0].float() - mean) / spread).cpu()


def embed(prompts: list[str], device: torch.device | None = None) -> Tensor:
    """(N, TOKENS, D) float16 token embeddings, padded with zeros; each prompt is read once.

    Args:
        prompts: texts.
        device: where the encoder works; the result is on the CPU.
    """
    encoder = load_text_encoder(device=str(device or "cpu"))
    different, found = list(dict.fromkeys(prompts)), []
    for first in range(0, len(different), 64):
        text, mask = encoder(different[first : first + 64])
        text = (text * mask[..., None])[:, :MINILM_TOKENS]
        found.append(nn.functional.pad(text, (0, 0, 0, MINILM_TOKENS - text.shape[1])).half())
    places = {prompt: row for row, prompt in enumerate(different)}
    return torch.cat(found)[[places[prompt] for prompt in prompts]]


def prepare(
    vae: Any, seed: int, count: int, kept: Path, *, frames: int = SCENE_FRAMES, bf16: bool = False
) -> Clips:
    """Draw, encode and embed; what is kept in a folder is taken from there."""
    file = kept / f"scenes-{seed}-{count}-{frames}.pt"
    if file.is_file():
        return Clips(**torch.load(file))
    latents: list[Tensor] = []
    captions: list[str] = []
    facts: list[NDArray[np.float16]] = []
    things: list[int] = []
    portion = 8000 // frames
    for first in range(0, count, portion):
        some = drawn(_learnt, seed, min(portion, count - first), first, frames=frames)
        clips, said, true, many = zip(*some, strict=True)
        device = device_of(vae).type
        at_once = 2 if device == "cpu" else 64  # clips: what is fastest
        for part in torch.from_numpy(np.stack(clips)).split(at_once * SCENE_FRAMES // frames):
            with torch.autocast(device, torch.bfloat16, enabled=bf16):
                latents.append(normalised(vae, part))
        captions += said
        facts += true
        things += many
        print(f"{first + len(said)} of {count} clips", flush=True)
    made = Clips(
        torch.cat(latents),
        embed(captions, device_of(vae)),
        torch.from_numpy(np.stack(facts)),
        torch.tensor(things),
    )
    kept.mkdir(parents=True, exist_ok=True)
    torch.save(vars(made), file.with_suffix(".partial"))
    file.with_suffix(".partial").replace(file)
    return made


def noised(latents: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """Latents at noise levels (B,) of the flow."""
    share = sigma.view(-1, 1, 1, 1, 1)
    return (1 - share) * latents + share * noise


class _Source:
    """Clips, and which of them have one thing and which two."""

    def __init__(self, clips: Clips) -> None:
        self.clips = clips
        self.groups = [torch.nonzero(clips.things.cpu() == number)[:, 0] for number in (1, 2)]

    def rows(self, many: int, alone: float, draw: torch.Generator) -> Tensor:
        """(many,) numbers of clips, of which a share `alone` has one thing."""
        picked = torch.rand(many, generator=draw) < alone
        one, two = (
            group[torch.randint(len(group), (many,), generator=draw)] for group in self.groups
        )
        return torch.where(picked, one, two)


class VideoLoss:
    """Squared error of the velocity and of the facts; noise levels are spread over each batch.

    Args:
        pictures: first frames, for the first steps; on the network's device, as the clips.
        clips: for all further ones.
        empty: (TOKENS, D) the empty prompt.
        batch: clips in a batch.
        still: number of steps that see first frames.
        mixed: share of further steps that see them too, so that shapes go on being learnt.
        alone: share of draws that are scenes of one thing.
        bf16: multiply in bfloat16.
    """

    def __init__(
        self,
        pictures: Clips,
        clips: Clips,
        empty: Tensor,
        *,
        batch: int,
        still: int,
        mixed: float,
        alone: float,
        bf16: bool,
    ) -> None:
        self.sources = {True: _Source(pictures), False: _Source(clips)}
        self.empty, self.batch = empty.to(clips.text.device), batch
        self.still, self.mixed, self.alone, self.bf16 = still, mixed, alone, bf16

    def __call__(self, model: nn.Module, step: int) -> Tensor:
        """The loss of the step's batch."""
        draw = torch.Generator().manual_seed(step)
        still = step < self.still or float(torch.rand((), generator=draw)) < self.mixed
        many = self.batch * (PICTURES if still else 1)
        source = self.sources[still]
        rows, clips = source.rows(many, self.alone, draw), source.clips
        dropped = torch.rand(many, generator=draw) < TEXT_DROPOUT
        places = (torch.arange(many) + torch.rand(many, generator=draw)) / many
        device = clips.latents.device
        rows, dropped, places = rows.to(device), dropped.to(device), places.to(device)
        latents, true = clips.latents[rows], clips.facts[rows].float()
        text = torch.where(dropped[:, None, None], self.empty, clips.text[rows]).float()
        sigma = SHIFT * places / (1 + (SHIFT - 1) * places)
        if device.type != "cpu":  # drawn there: many numbers
            draw = torch.Generator(device).manual_seed(step)
        noise = torch.randn(latents.shape, generator=draw, device=device)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.bf16):
            velocity, facts = model(noised(latents, noise, sigma), sigma, text)
        error = (velocity.float() - (noise - latents)).square().flatten(1).mean(1)
        untold = (facts.float() - true).square().sum(-1).mean(-1)
        told: Tensor = error + TOLD_WEIGHT * untold
        return told


@torch.no_grad()
def held_out_error(network: Any, clips: Clips, sigma: float) -> tuple[float, float]:
    """Squared error of the velocity at a noise level, with own captions and with another's."""
    noise = torch.randn(clips.latents.shape, generator=torch.Generator().manual_seed(0))
    times, found = torch.full((len(noise),), sigma), []
    device = device_of(network)
    for text in (clips.text, clips.text.roll(1, 0)):
        given = noised(clips.latents, noise, times)
        velocity = torch.cat([
            network(
                x.to(device), t.to(device) * 1000, words.to(device).float(), return_dict=False
            )[0].cpu()
            for x, t, words in zip(given.split(50), times.split(50), text.split(50), strict=True)
        ])  # fmt: skip
        found.append(float((velocity - (noise - clips.latents)).square().mean()))
    return found[0], found[1]


def main() -> None:
    """Train, measure, keep the averaged weights."""
    parser = argparse.ArgumentParser()
    parser.add_argument("vae", type=Path, help="its folder, or a file of assemble")
    parser.add_argument("run", type=Path)
    parser.add_argument("--clips", type=int, default=20000)
    parser.add_argument("--pictures", type=int, default=40000, help="first frames of so many")
    parser.add_argument("--still", type=int, default=3000, help="steps on first frames")
    parser.add_argument("--mixed", type=float, default=0.25, help="share of further ones")
    parser.add_argument("--steps", type=int, default=9000, help="in all")
    parser.add_argument("--batch", type=int, default=BATCH, help="clips in a batch")
    parser.add_argument("--lr", type=float, default=1.2e-3)
    parser.add_argument("--alone", type=float, default=0.7, help="share of scenes of one thing")
    parser.add_argument("--constant", action="store_true", help="keep the learning rate")
    parser.add_argument("--begin", type=Path, help="a file of assemble whose transformer goes on")
    parser.add_argument("--bf16", action="store_true", help="for processors that multiply so")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--device", choices=("auto", "cpu"), default="auto")
    args = parser.parse_args()
    torch.manual_seed(0)
    device = chosen_device(args.device)
    vae = parts(args.vae)[0].to(device)
    network = parts(args.begin)[1] if args.begin else make_transformer()
    model = Told(network).train()
    kept = args.run.parent / "latents"
    empty = embed([""])[0]
    pictures = prepare(vae, TRAIN_SEED, args.pictures, kept, frames=1, bf16=args.bf16)
    clips = prepare(vae, TRAIN_SEED, args.clips, kept, bf16=args.bf16)
    held_pictures = prepare(vae, HELD_OUT_SEED, 250, kept, frames=1)
    held = prepare(vae, HELD_OUT_SEED, 250, kept)
    if args.compile:
        for block in network.blocks:
            block.compile(dynamic=False)  # once for first frames, once for clips
    config = TrainConfig(
        steps=args.steps,
        lr=args.lr,
        warmup=100,
        lr_schedule="constant" if args.constant else "cosine",
        checkpoint_every=max(250, args.steps // 50),
    )
    loss = VideoLoss(
        pictures.to(device),
        clips.to(device),
        empty,
        batch=args.batch,
        still=args.still,
        mixed=args.mixed,
        alone=args.alone,
        bf16=args.bf16,
    )
    optimizer = muon_for(model, lambda name: ".blocks." in name, args.lr)
    for event in fit_steps(
        model, loss, config, args.run, decay=0.998, device=args.device, optimizer=optimizer
    ):
        if isinstance(event, Stepped):
            print(f"{event.step} {event.loss:.4f} {event.seconds:.3f} s/step", flush=True)
            if event.step % 500 == 0:
                some = held_pictures if event.step <= args.still else held
                right, wrong = held_out_error(network, some, 0.7)
                print(f"held-out {right:.4f}, another's caption {wrong:.4f}", flush=True)
    network.eval().save_pretrained(args.run / "final")
    for sigma in (0.3, 0.5, 0.7, 0.9):
        right, wrong = held_out_error(network, held, sigma)
        print(f"level {sigma}: error {right:.4f}, with another clip's caption {wrong:.4f}")


if __name__ == "__main__":
    main()
