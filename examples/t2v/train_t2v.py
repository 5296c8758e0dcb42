"""Train the small text-to-video model: a miniature of diffusers' CogVideoX transformer.

    fbridge prepare clips/ -o latents/ --codec runs/vae/final --frames 8 --size 64x64
    python -m examples.t2v.train_t2v latents/ runs/t2v --steps 4000

It predicts v over CogVideoX's own noise levels, which end in pure noise.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from diffusers import CogVideoXTransformer3DModel
from torch import Tensor, nn

from examples.training import fit_steps
from fbridge.alignment import cogvideox_alphas_cumprod
from fbridge.config.tree import TrainConfig
from fbridge.data.latents.dataset import LatentDataset
from fbridge.data.shapes import FRAMES, SIZE
from fbridge.train.events import Stepped

BATCH = 16
TEXT_DROPOUT = 0.1
TOKENS = 16
"""Length of the prompts; the longest caption of these clips has 11 tokens."""


def make_transformer() -> CogVideoXTransformer3DModel:
    """4.6 M parameters; modulations and the last layer begin at zero, as DiT's do."""
    model = CogVideoXTransformer3DModel(
        num_attention_heads=3,
        attention_head_dim=64,
        in_channels=8,
        out_channels=8,
        time_embed_dim=128,
        text_embed_dim=384,
        num_layers=6,
        sample_width=SIZE // 8,
        sample_height=SIZE // 8,
        sample_frames=FRAMES,
        patch_size=2,
        temporal_compression_ratio=1,
        max_text_seq_length=TOKENS,
        spatial_interpolation_scale=1.0,
        use_rotary_positional_embeddings=False,
    )
    parts = [part for block in model.transformer_blocks for part in (block.norm1, block.norm2)]
    for layer in [*(part.linear for part in (*parts, model.norm_out)), model.proj_out]:
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    return model


def fitted(text: Tensor) -> Tensor:
    """Token embeddings (L, D), cut or padded with zeros to (TOKENS, D)."""
    cut = text[:TOKENS].float()
    return nn.functional.pad(cut, (0, 0, 0, TOKENS - len(cut)))


def load_latents(folder: Path) -> tuple[Tensor, Tensor, Tensor]:
    """Clips (N, F, C, H, W), captions (N, TOKENS, D) and the empty caption (TOKENS, D)."""
    data = LatentDataset(folder)
    samples = [data[row] for row in range(len(data))]
    clips = torch.stack([sample.clip for sample in samples]).float()
    return clips, torch.stack([fitted(s.text) for s in samples]), fitted(data.empty_text())


def noised(clips: Tensor, noise: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """Noisy clips at DDPM steps (B,), and the v that the network should predict."""
    squared = cogvideox_alphas_cumprod(1.0)[step].float().view(-1, 1, 1, 1, 1)
    signal, scale = squared.sqrt(), (1 - squared).sqrt()
    return signal * clips + scale * noise, signal * noise - scale * clips


class VideoLoss:
    """Squared error of v; steps are spread evenly over each batch."""

    def __init__(self, clips: Tensor, text: Tensor, empty: Tensor) -> None:
        self.clips, self.text, self.empty = clips, text, empty

    def __call__(self, model: nn.Module, step: int) -> Tensor:
        """The loss of the step's batch."""
        draw = torch.Generator().manual_seed(step)
        rows = torch.randint(len(self.clips), (BATCH,), generator=draw)
        clips, text = self.clips[rows], self.text[rows]
        dropped = torch.rand(BATCH, generator=draw) < TEXT_DROPOUT
        text = torch.where(dropped[:, None, None], self.empty, text)
        places = (torch.arange(BATCH) + torch.rand(BATCH, generator=draw)) / BATCH
        times = (places * 1000).long().clamp_max(999)
        latents, wanted = noised(clips, torch.randn(clips.shape, generator=draw), times)
        error: Tensor = model(latents, text, times).sample.float() - wanted
        return error.square().flatten(1).mean(1)


@torch.no_grad()
def held_out_error(model: nn.Module, clips: Tensor, text: Tensor, time: int) -> float:
    """Mean squared error of v at one DDPM step; predicting zero gives about one."""
    noise = torch.randn(clips.shape, generator=torch.Generator().manual_seed(0))
    times = torch.full((len(clips),), time)
    latents, wanted = noised(clips, noise, times)
    return float((model(latents, text, times).sample - wanted).square().mean())


def main() -> None:
    """Train, measure, keep the averaged weights."""
    parser = argparse.ArgumentParser()
    parser.add_argument("latents", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--held-out", type=Path, help="a prepared data set to measure on")
    args = parser.parse_args()
    torch.manual_seed(0)
    model = make_transformer().train()
    loss = VideoLoss(*load_latents(args.latents))
    config = TrainConfig(
        steps=args.steps,
        lr=args.lr,
        warmup=200,
        lr_schedule="cosine",
        betas=(0.9, 0.99),
        weight_decay=0.01,
        checkpoint_every=250,
    )
    for event in fit_steps(model, loss, config, args.run, device="cpu"):
        if isinstance(event, Stepped):
            print(f"{event.step} {event.loss:.4f} {event.seconds:.3f} s/step", flush=True)
    model.eval().save_pretrained(args.run / "final")
    if args.held_out:
        clips, text, _ = load_latents(args.held_out)
        for time in (100, 300, 500, 700, 900):
            right = held_out_error(model, clips, text, time)
            wrong = held_out_error(model, clips, text.roll(1, 0), time)
            print(f"step {time}: error {right:.4f}, with another clip's caption {wrong:.4f}")


if __name__ == "__main__":
    main()
