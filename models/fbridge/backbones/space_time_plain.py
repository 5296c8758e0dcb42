"""Our own network: a transformer with separate attention over space and over time."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fbridge.backbones.adapter import run_block
from fbridge.files.plain import Plain
from fbridge.types import Condition, Latents


class _Attention(nn.Module):
    """Multi-head attention of tokens (N, S, D) to themselves or to a context (N, L, E)."""

    def __init__(self, width: int, heads: int, context_width: int | None = None) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.keys = nn.Linear(context_width or width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(
        self, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        query = self.query(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        pairs = self.keys(x if context is None else context)
        key, value = pairs.unflatten(-1, (2 * self.heads, -1)).transpose(1, 2).chunk(2, 1)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out


class _Block(nn.Module):
    """Attention within frames, along time and to the prompt; then an MLP (adaLN-zero)."""

    def __init__(self, width: int, heads: int, text_width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width, elementwise_affine=False) for _ in range(4))
        self.space = _Attention(width, heads)
        self.time = _Attention(width, heads)
        self.words = _Attention(width, heads, text_width) if text_width else None
        self.perceptron = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU("tanh"), nn.Linear(4 * width, width)
        )
        self.table = nn.Parameter(torch.randn(12, width) / width**0.5)

    def forward(self, x: Tensor, modulation: Tensor, prompts: Tensor, mask: Tensor) -> Tensor:
        """Tokens (B, F, S, D), modulation (B, 12, D) shared by all blocks (adaLN-single)."""
        b, f, s, _ = x.shape
        parts = (self.table + modulation)[:, :, None, None].unbind(1)
        shift, scale, gate = parts[0:4], parts[4:8], parts[8:12]

        def modulated(i: int) -> Tensor:
            out: Tensor = self.norms[i](x) * (1 + scale[i]) + shift[i]
            return out

        if s > 1:
            x = x + gate[0] * self.space(modulated(0).flatten(0, 1)).unflatten(0, (b, f))
        along = self.time(modulated(1).transpose(1, 2).flatten(0, 1)).unflatten(0, (b, s))
        x = x + gate[1] * along.transpose(1, 2)
        if self.words is not None:
            read = self.words(modulated(2).flatten(1, 2), prompts, mask)
            x = x + gate[2] * read.unflatten(1, (f, s))
        return x + gate[3] * self.perceptron(modulated(3))


class PlainSpaceTime(Plain):
    """Latents, prior and picture (B, F, C, H, W) to a prediction of the latents' shape.

    The three are concatenated in the channels. A frame's position is the share of the clip before
    it, so that one network takes any number of frames. With `timed=False` there is no diffusion
    time and no prior: from the repeated picture and the prompt it regresses the video, as
    FrameBridge's neural prior. Position embeddings of latents of another height and width than the
    configured ones are resized (bilinear).

    Args:
        channels, height, width: of the latents.
        condition_channels: of the picture's latent.
        patch: side of a patch in latent pixels; a patch is a token.
        dim, depth, heads: of the transformer.
        text_width: features of the prompt embeddings; 0 of a network without a prompt.
        timed: see above.
        residual: the output is added to the latents: a prior starts as the repeated picture.
        classes: of a class-conditional network; label -1, or no label, is none of them.
    """

    def __init__(  # noqa: PLR0913 - a network's numbers, all in its config
        self,
        channels: int,
        height: int,
        width: int,
        condition_channels: int,
        patch: int = 1,
        dim: int = 192,
        depth: int = 6,
        heads: int = 4,
        text_width: int = 384,
        timed: bool = True,
        residual: bool = False,
        classes: int = 0,
    ) -> None:
        super().__init__()
        inputs = (2 if timed else 1) * channels + condition_channels
        self.embed = nn.Linear(inputs * patch * patch, dim)
        self.place = nn.Parameter(torch.randn((height // patch) * (width // patch), dim) * 0.02)
        self.moment = nn.Sequential(nn.Linear(64, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.clock = nn.Sequential(nn.Linear(128, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.tune = nn.Linear(dim, 12 * dim)
        self.blocks = nn.ModuleList(_Block(dim, heads, text_width) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, channels * patch * patch)
        for layer in (self.tune, self.head):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.label = nn.Embedding(classes + 1, dim) if classes else None
        if self.label is not None:
            nn.init.normal_(self.label.weight, std=0.02)
        self.gradient_checkpointing = False

    def forward(
        self,
        latents: Latents,
        time: Tensor | None,
        condition: Condition,
        prior: Latents | None = None,
    ) -> Tensor:
        """Predict from a state, its network time (B,) and its prior; untimed, from the picture."""
        picture = condition.image_latents[:, None].expand(-1, latents.shape[1], -1, -1, -1)
        inputs = [latents, picture] if prior is None else [latents, prior, picture]
        dtype = self.dtype
        x = torch.cat([part.to(dtype) for part in inputs], 2)
        p: int = self.config.patch
        b, f, _, h, w = x.shape
        x = F.pixel_unshuffle(x.flatten(0, 1), p).flatten(2).mT
        passed = torch.linspace(0, 1, f, device=x.device) * 100
        x = self.embed(x).unflatten(0, (b, f)) + self._positions(h // p, w // p)
        x = x + self.moment(embed_times(passed, 64, slowest=200).to(x.dtype))[:, None]
        clock = x.new_zeros(b) if time is None else time
        embedded = self.clock(embed_times(clock, 128).to(x.dtype))
        if self.label is not None:
            embedded = embedded + self.label(self._rows(condition.class_labels, embedded))
        modulation = self.tune(F.silu(embedded)).unflatten(-1, (12, -1))
        prompts, mask = condition.prompt_embeds.to(dtype), condition.prompt_mask[:, None, None]
        for block in self.blocks:
            x = run_block(self, block, x, modulation, prompts, mask)
        out: Tensor = self.head(self.norm(x)).flatten(0, 1).mT.unflatten(2, (h // p, w // p))
        predicted = F.pixel_shuffle(out, p).unflatten(0, (b, f)).to(latents.dtype)
        return latents + predicted if self.config.residual else predicted

    def _positions(self, rows: int, columns: int) -> Tensor:
        """(rows * columns, D) position embeddings of the tokens of a grid."""
        p: int = self.config.patch
        grid = (self.config.height // p, self.config.width // p)
        if grid == (rows, columns):
            return self.place
        known = self.place.mT.unflatten(1, grid)[None]
        return F.interpolate(known, (rows, columns), mode="bilinear")[0].flatten(1).mT

    def _rows(self, labels: Tensor | None, like: Tensor) -> Tensor:
        """(B,) rows of the class embedding; the last one is no class."""
        none: int = self.config.classes
        if labels is None:
            return torch.full((len(like),), none, device=like.device)
        return torch.where(labels < 0, none, labels).to(like.device)


def embed_times(times: Tensor, width: int, *, slowest: float = 10000) -> Tensor:
    """Sines, then cosines, (N, width) float32 of times (N,) (Vaswani et al., arXiv 1706.03762).

    Args:
        times: any numbers.
        width: even; half of it are frequencies from 1 down to 1 / slowest.
        slowest: see above.
    """
    steps = torch.arange(width // 2, dtype=torch.float32, device=times.device)
    frequencies = torch.exp(-math.log(slowest) * steps / (width // 2 - 1))
    phases = times[:, None].float() * frequencies
    return torch.cat([phases.sin(), phases.cos()], -1)
