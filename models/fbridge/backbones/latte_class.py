"""The class-conditional Latte (arXiv 2401.03048), with the tensor names of its original code.

FrameBridge's models trained from scratch are such networks: the bridge, with the picture as the
first frame and the neural prior's video, if any, in further channels; and the prior, without time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.loaders import PeftAdapterMixin
from diffusers.models.embeddings import get_timestep_embedding
from torch import Tensor, nn
from torch.nn import functional as F

from fbridge.backbones.adapter import run_block
from fbridge.backbones.checkpoint_layout import CheckpointLayout, Variant
from fbridge.backbones.family import Family, VideoDefaults
from fbridge.backbones.noise_schedules import linear_noise
from fbridge.errors import ConfigError
from fbridge.types import Condition, Latents

_HEADS = {384: 6, 768: 12, 1024: 16, 1152: 16}
"""By width, of the sizes S, B, L and XL."""
_SIZES = {384: "S", 768: "B", 1024: "L", 1152: "XL"}
_FREQUENCIES = 256
_STEPS = 1000


class _Patches(nn.Module):
    """(N, C, H, W) to (N, S, D)."""

    def __init__(self, channels: int, patch: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, width, patch, patch)

    def forward(self, frames: Tensor) -> Tensor:
        return self.proj(frames).flatten(2).mT


class _TimeEmbedding(nn.Module):
    """Steps (B,) to (B, D)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(_FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, steps: Tensor, dtype: torch.dtype) -> Tensor:
        embedded = get_timestep_embedding(
            steps, _FREQUENCIES, flip_sin_to_cos=True, downscale_freq_shift=0
        )
        return self.mlp(embedded.to(dtype))


class _LabelEmbedding(nn.Module):
    """Labels (B,) to (B, D); the last row is for no class, -1."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.embedding_table = nn.Embedding(classes + 1, width)

    def forward(self, label: Tensor) -> Tensor:
        none = self.embedding_table.num_embeddings - 1
        return self.embedding_table(torch.where(label < 0, none, label))


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.transpose(1, 2).flatten(2))


class _MLP(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


def _modulation(width: int, parts: int) -> nn.Sequential:
    return nn.Sequential(nn.SiLU(), nn.Linear(width, parts * width))


class _Block(nn.Module):
    """Attention and an MLP on tokens (N, S, D), modulated by (N, D) (adaLN-zero)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attn = _Attention(width, heads)
        self.mlp = _MLP(width)
        self.adaLN_modulation = _modulation(width, 6)

    def forward(self, x: Tensor, embedded: Tensor) -> Tensor:
        parts = self.adaLN_modulation(embedded)[:, None].chunk(6, -1)
        x = x + parts[2] * self.attn(_normed(x) * (1 + parts[1]) + parts[0])
        return x + parts[5] * self.mlp(_normed(x) * (1 + parts[4]) + parts[3])


class _Head(nn.Module):
    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, outputs)
        self.adaLN_modulation = _modulation(width, 2)

    def forward(self, x: Tensor, embedded: Tensor) -> Tensor:
        shift, scale = self.adaLN_modulation(embedded)[:, None].chunk(2, -1)
        return self.linear(_normed(x) * (1 + scale) + shift)


def _normed(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], eps=1e-6)


class LatteClassTransformer(ModelMixin, ConfigMixin, PeftAdapterMixin):  # type: ignore[misc]
    """Latents (B, F, C, H, W), a step, classes and the picture to a prediction of that shape.

    Args:
        input_size: side of the latents.
        patch_size: side of a patch in latent pixels; a patch is a token.
        in_channels: of the latents and further inputs: prior, picture.
        latent_channels: of the latents.
        out_channels: of the output; of twice the latents' channels the second half is dropped.
        hidden_size, depth, num_heads: of the transformer.
        num_frames: of its position embeddings; one more than a clip's where the picture leads.
        num_classes: of the labels.
        timed: whether it takes a step.
        leads: whether the picture is a frame before the others.
    """

    _supports_gradient_checkpointing = True
    _no_split_modules: ClassVar = ["_Block"]

    @register_to_config
    def __init__(  # noqa: PLR0913 - a network's numbers, all in its config
        self,
        input_size: int = 32,
        patch_size: int = 2,
        in_channels: int = 4,
        latent_channels: int = 4,
        out_channels: int = 4,
        hidden_size: int = 384,
        depth: int = 12,
        num_heads: int = 6,
        num_frames: int = 16,
        num_classes: int = 101,
        timed: bool = True,
        leads: bool = False,
    ) -> None:
        del latent_channels, leads  # kept in the configuration
        super().__init__()
        self.x_embedder = _Patches(in_channels, patch_size, hidden_size)
        self.t_embedder = _TimeEmbedding(hidden_size) if timed else None
        self.y_embedder = _LabelEmbedding(num_classes, hidden_size)
        places = (input_size // patch_size) ** 2
        self.pos_embed = nn.Parameter(torch.zeros(1, places, hidden_size), requires_grad=False)
        self.temp_embed = nn.Parameter(torch.zeros(1, num_frames, hidden_size), requires_grad=False)
        self.blocks = nn.ModuleList(_Block(hidden_size, num_heads) for _ in range(depth))
        self.final_layer = _Head(hidden_size, patch_size**2 * out_channels)
        self.gradient_checkpointing = False

    def forward(
        self,
        latents: Latents,
        time: Tensor | None,
        condition: Condition,
        prior: Latents | None = None,
    ) -> Tensor:
        """Predict from a state, its time (B,) and its prior.

        A diffusion's time is its step. A bridge's comes as 1000 t, of which step i of the original
        code is t = (i + 1) / 1001.
        """
        config, dtype = self.config, self.dtype
        channels = latents.shape[2]
        first = condition.image_latents[:, None]
        inputs = [latents, latents if prior is None else prior, first.expand_as(latents)]
        inputs = inputs[: config.in_channels // config.latent_channels]
        x = torch.cat([torch.cat([first, part], 1) if config.leads else part for part in inputs], 2)
        if (x.shape[1], *x.shape[3:]) != (config.num_frames, *[config.input_size] * 2):
            raise ConfigError(
                f"{latents.shape[1]} frames of {x.shape[4]}x{x.shape[3]} latent pixels are not "
                f"possible with this network: it has learnt the places of "
                f"{config.num_frames - config.leads} of {config.input_size}x{config.input_size}"
            )
        b, f = x.shape[:2]
        embedded = self._embed(time, condition, b)
        x = self.x_embedder(x.flatten(0, 1).to(dtype)) + self.pos_embed
        within = embedded.repeat_interleave(f, 0)
        along = embedded.repeat_interleave(x.shape[1], 0)
        for n, block in enumerate(self.blocks):
            if n % 2 == 0:
                x = run_block(self, block, x, within)
                continue
            x = x.unflatten(0, (b, f)).transpose(1, 2).flatten(0, 1)
            x = run_block(self, block, x + self.temp_embed if n == 1 else x, along)
            x = x.unflatten(0, (b, -1)).transpose(1, 2).flatten(0, 1)
        x = self.final_layer(x, within)
        side, p = config.input_size // config.patch_size, config.patch_size
        x = x.unflatten(2, (p, p, -1)).unflatten(1, (side, side)).permute(0, 5, 1, 3, 2, 4)
        out = x.flatten(4, 5).flatten(2, 3).unflatten(0, (b, f))[:, int(config.leads) :]
        return out[:, :, :channels].to(latents.dtype)

    def _embed(self, time: Tensor | None, condition: Condition, batch: int) -> Tensor:
        """(B, D) of class and step."""
        labels = condition.class_labels
        if labels is None:
            labels = torch.full((batch,), -1, device=condition.image_latents.device)
        embedded: Tensor = self.y_embedder(labels)
        if self.t_embedder is None or time is None:
            return embedded
        step = time * (_STEPS + 1) / _STEPS - 1 if self.config.leads else time
        return embedded + self.t_embedder(step, self.dtype)


def _variant(shapes: Mapping[str, tuple[int, ...]]) -> Variant:
    """The model whose tensors have these shapes."""
    width, inputs, patch = shapes["x_embedder.proj.weight"][:3]
    frames = shapes["temp_embed"][1]
    outputs = shapes["final_layer.linear.weight"][0] // patch**2
    timed = "t_embedder.mlp.0.weight" in shapes
    depth = 1 + max(int(name.split(".")[1]) for name in shapes if name.startswith("blocks."))
    leads = frames % 8 == 1
    latents = min(inputs, outputs)  # the input has a prior too, or the output a variance
    what = "bridge" if leads else "diffusion" if timed else "neural prior"
    return Variant(
        f"class-conditional Latte-{_SIZES.get(width, width)}/{patch}, {what}",
        (),
        {
            "input_size": round(shapes["pos_embed"][1] ** 0.5) * patch,
            "patch_size": patch,
            "in_channels": inputs,
            "latent_channels": latents,
            "out_channels": outputs,
            "hidden_size": width,
            "depth": depth,
            "num_heads": _HEADS.get(width, max(1, width // 64)),
            "num_frames": frames,
            "num_classes": shapes["y_embedder.embedding_table.weight"][0] - 1,
            "timed": timed,
            "leads": leads,
        },
    )


def _video(config: Mapping[str, Any]) -> VideoDefaults:
    frames, side = config["num_frames"] - int(config["leads"]), config["input_size"]
    return VideoDefaults([frames, frames, frames, 1], 8.0, (side, side))


FAMILY = Family(
    name="latte-class",
    transformer="LatteClassTransformer",
    own_class=lambda: LatteClassTransformer,
    adapt=lambda transformer: transformer,
    latents=lambda transformer: int(transformer.config.latent_channels),
    prompt_width=lambda _: 0,
    patch=lambda transformer: int(transformer.config.patch_size),
    lora_targets=("qkv", "attn.proj", "fc1", "fc2"),
    input_layer="x_embedder.proj",
    prediction="noise",
    noise_schedule=linear_noise,
    video=_video,
    layouts=(
        CheckpointLayout(
            "original",
            (
                "x_embedder.proj.weight",
                "y_embedder.embedding_table.weight",
                "temp_embed",
                "blocks.0.attn.qkv.weight",
            ),
        ),
    ),
    variant_from_shapes=_variant,
    required_files=("vae/config.json",),
    depth_keys=("depth",),
)
