"""VideoCrafter's U-Net once more, from its weights alone: after the modules of its makers' code.

Source of names and formulas: lvdm/modules of AILab-CVC/VideoCrafter and thu-ml/FrameBridge. The
loops differ from the project's: each frame and each pixel is computed for itself.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from fbridge.files.key_mapping import Weights


class Lvdm:
    """`UNetModel`, its numbers read off the names.

    Args:
        weights: without a prefix.
        head: features of a head.
    """

    def __init__(self, weights: Weights, head: int) -> None:
        self.w, self.head = weights, head

    def __call__(
        self, x: Tensor, step: Tensor, words: Tensor, *, rate: int | None = None,
        looks: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """(B, C, T, H, W), steps (B,), words (B, 77, D), looks (B, T, Q, D) to (B, C, T, H, W)."""
        told = self.embed("time_embed", step)
        if rate is not None:
            told = told + self.embed("fps_embedding", torch.full_like(step, rate))
        kept = []
        for n in range(self.count("input_blocks.")):
            x = self.stage(f"input_blocks.{n}", x, told, words, looks)
            if n == 0 and "init_attn.0.norm.weight" in self.w:
                x = self.temporal("init_attn.0", x)
            kept.append(x)
        x = self.stage("middle_block", x, told, words, looks)
        for n in range(self.count("output_blocks.")):
            x = torch.cat([x, kept.pop()], 1)
            x = self.stage(f"output_blocks.{n}", x, told, words, looks)
        return frames(x, lambda y, _: self.conv("out.2", F.silu(self.norm("out.0", y)), 1))

    def count(self, before: str) -> int:
        return 1 + max(int(n[len(before) :].split(".")[0]) for n in self.w if n.startswith(before))

    def embed(self, name: str, number: Tensor) -> Tensor:
        half = self.w[f"{name}.0.weight"].shape[1] // 2
        rates = torch.tensor([math.exp(-math.log(10000) * i / half) for i in range(half)])
        waves = torch.cat([(number[:, None] * rates).cos(), (number[:, None] * rates).sin()], 1)
        return self.linear(f"{name}.2", F.silu(self.linear(f"{name}.0", waves)))

    def linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self.w[f"{name}.weight"].flatten(1), self.w.get(f"{name}.bias"))

    def norm(self, name: str, x: Tensor, eps: float = 1e-5) -> Tensor:
        return F.group_norm(x, 32, self.w[f"{name}.weight"], self.w[f"{name}.bias"], eps)

    def layer_norm(self, name: str, x: Tensor) -> Tensor:
        weight = self.w[f"{name}.weight"]
        return F.layer_norm(x, weight.shape, weight, self.w[f"{name}.bias"])

    def conv(self, name: str, x: Tensor, padding: int, stride: int = 1) -> Tensor:
        return F.conv2d(x, self.w[f"{name}.weight"], self.w[f"{name}.bias"], stride, padding)

    def stage(
        self, name: str, x: Tensor, told: Tensor, words: Tensor, looks: Tensor | None
    ) -> Tensor:
        parts = {n[len(name) + 1 :].split(".")[0] for n in self.w if n.startswith(f"{name}.")}
        for number in sorted(parts, key=int):
            layer = f"{name}.{number}"
            if f"{layer}.weight" in self.w:
                x = frames(x, lambda y, _, at=layer: self.conv(at, y, 1))
            elif f"{layer}.op.weight" in self.w:
                x = frames(x, lambda y, _, at=layer: self.conv(f"{at}.op", y, 1, 2))
            elif f"{layer}.conv.weight" in self.w:
                x = frames(x, lambda y, _, at=layer: self.conv(f"{at}.conv", doubled(y), 1))
            elif f"{layer}.in_layers.0.weight" in self.w:
                x = self.residual(layer, x, told)
            elif f"{layer}.transformer_blocks.0.attn2.to_k.weight" in self.w and number == "1":
                x = frames(
                    x,
                    lambda y, t, at=layer: self.spatial(
                        at, y, words, None if looks is None else looks[:, t]
                    ),
                )
            else:
                x = self.temporal(layer, x)
        return x

    def residual(self, name: str, x: Tensor, told: Tensor) -> Tensor:
        told = self.linear(f"{name}.emb_layers.1", F.silu(told))[:, :, None, None]

        def one(y: Tensor, _: int) -> Tensor:
            inner = self.conv(f"{name}.in_layers.2", F.silu(self.norm(f"{name}.in_layers.0", y)), 1)
            inner = F.silu(self.norm(f"{name}.out_layers.0", inner + told))
            inner = self.conv(f"{name}.out_layers.3", inner, 1)
            skip = f"{name}.skip_connection"
            return (self.conv(skip, y, 0) if f"{skip}.weight" in self.w else y) + inner

        x = frames(x, one)
        if f"{name}.temopral_conv.conv1.0.weight" not in self.w:
            return x
        y = x
        for n, last in ((1, 2), (2, 3), (3, 3), (4, 3)):
            layer = f"{name}.temopral_conv.conv{n}"
            y = F.silu(self.norm(f"{layer}.0", y))
            weight, bias = self.w[f"{layer}.{last}.weight"], self.w[f"{layer}.{last}.bias"]
            y = F.conv3d(y, weight, bias, padding=(1, 0, 0))
        return x + y

    def spatial(self, name: str, x: Tensor, words: Tensor, looks: Tensor | None) -> Tensor:
        b, c, h, w = x.shape
        y = self.norm(f"{name}.norm", x, 1e-6).reshape(b, c, h * w).transpose(1, 2)
        y = self.linear(f"{name}.proj_in", y)
        for n in range(self.count(f"{name}.transformer_blocks.")):
            y = self.block(f"{name}.transformer_blocks.{n}", y, words, looks)
        return x + self.linear(f"{name}.proj_out", y).transpose(1, 2).reshape(b, c, h, w)

    def temporal(self, name: str, x: Tensor) -> Tensor:
        out = torch.empty_like(x)
        y = self.norm(f"{name}.norm", x, 1e-6)
        for i in range(x.shape[3]):
            for j in range(x.shape[4]):
                z = self.linear(f"{name}.proj_in", y[:, :, :, i, j].transpose(1, 2))
                for n in range(self.count(f"{name}.transformer_blocks.")):
                    z = self.block(f"{name}.transformer_blocks.{n}", z, None, None)
                out[:, :, :, i, j] = self.linear(f"{name}.proj_out", z).transpose(1, 2)
        return x + out

    def block(self, name: str, x: Tensor, words: Tensor | None, looks: Tensor | None) -> Tensor:
        x = self.attention(f"{name}.attn1", self.layer_norm(f"{name}.norm1", x), None, None) + x
        x = self.attention(f"{name}.attn2", self.layer_norm(f"{name}.norm2", x), words, looks) + x
        y, gate = self.linear(f"{name}.ff.net.0.proj", self.layer_norm(f"{name}.norm3", x)).chunk(
            2, -1
        )
        return self.linear(f"{name}.ff.net.2", y * F.gelu(gate)) + x

    def attention(self, name: str, x: Tensor, words: Tensor | None, looks: Tensor | None) -> Tensor:
        source = x if words is None else words
        query, key, value = (
            self.linear(f"{name}.to_{n}", y) for n, y in (("q", x), ("k", source), ("v", source))
        )
        tables = [self.w.get(f"{name}.relative_position_{n}.embeddings_table") for n in ("k", "v")]
        done = []
        for start in range(0, query.shape[-1], self.head):
            cut = slice(start, start + self.head)
            q, k, v = query[..., cut], key[..., cut], value[..., cut]
            fits = q @ k.transpose(1, 2)
            if tables[0] is not None and tables[1] is not None:
                far = [distances(table, x.shape[1]) for table in tables if table is not None]
                fits = fits + torch.stack([q[:, i] @ far[0][i].T for i in range(x.shape[1])], 1)
                share = (fits * self.head**-0.5).softmax(-1)
                more = torch.stack([share[:, i] @ far[1][i] for i in range(x.shape[1])], 1)
                done.append(share @ v + more)
                continue
            seen = (fits * self.head**-0.5).softmax(-1) @ v
            if looks is not None and f"{name}.to_k_ip.weight" in self.w:
                k, v = (self.linear(f"{name}.to_{n}_ip", looks)[..., cut] for n in ("k", "v"))
                more = (q @ k.transpose(1, 2) * self.head**-0.5).softmax(-1) @ v
                gate = self.w.get(f"{name}.alpha")
                seen = seen + (more if gate is None else more * (torch.tanh(gate) + 1))
            done.append(seen)
        return self.linear(f"{name}.to_out.0", torch.cat(done, -1))


def resampler(weights: Weights, picture: Tensor, head: int) -> Tensor:
    """`Resampler` of lvdm/modules/encoders/resampler.py: (B, L, D) to (B, queries, D')."""
    net = Lvdm(weights, head)
    looks = weights["latents"].repeat(len(picture), 1, 1)
    picture = net.linear("proj_in", picture)
    for n in range(net.count("layers.")):
        name = f"layers.{n}.0"
        mine = net.layer_norm(f"{name}.norm2", looks)
        both = torch.cat([net.layer_norm(f"{name}.norm1", picture), mine], 1)
        query = net.linear(f"{name}.to_q", mine)
        key, value = net.linear(f"{name}.to_kv", both).chunk(2, -1)
        done = []
        for start in range(0, query.shape[-1], head):
            cut = slice(start, start + head)
            share = (query[..., cut] @ key[..., cut].transpose(1, 2) * head**-0.5).softmax(-1)
            done.append(share @ value[..., cut])
        looks = net.linear(f"{name}.to_out", torch.cat(done, -1)) + looks
        inner = net.layer_norm(f"layers.{n}.1.0", looks)
        looks = net.linear(f"layers.{n}.1.3", F.gelu(net.linear(f"layers.{n}.1.1", inner))) + looks
    return net.layer_norm("norm_out", net.linear("proj_out", looks))


def frames(x: Tensor, apply: object) -> Tensor:
    """A function of (frame (B, C, H, W), its number) on every frame of (B, C, T, H, W)."""
    assert callable(apply)
    return torch.stack([apply(x[:, :, t], t) for t in range(x.shape[2])], 2)


def doubled(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def distances(table: Tensor, count: int) -> Tensor:
    most = len(table) // 2
    rows = [
        [table[max(-most, min(most, j - i)) + most] for j in range(count)] for i in range(count)
    ]
    return torch.stack([torch.stack(row) for row in rows])
