"""CogVideoX's transformer of diffusers as a backbone, with room for prior and picture.

Text is the token embeddings without padding, cut or filled up with zeros to the length that the
network knows; time is a step of its diffusion, between steps too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fbridge.backbones.family import Family, Video
from fbridge.errors import CheckpointError, ConfigError
from fbridge.types import Condition, Latents

_BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


class CogVideoXBackbone(nn.Module):
    """A `CogVideoXTransformer3DModel` behind `fbridge.denoiser.Backbone`.

    Attributes:
        transformer: diffusers' network. It is shown, side by side in the channels, the latents and
            as many of prior and picture (repeated over the frames) as its input has room for.
    """

    def __init__(self, transformer: Any) -> None:
        super().__init__()
        config = transformer.config
        if config.patch_size_t is not None or config.ofs_embed_dim is not None:
            raise CheckpointError(
                "this transformer is of CogVideoX 1.5 (patches in time or an offset embedding), "
                "which is not supported yet; use one of 1.0, such as CogVideoX-2b"
            )
        if config.in_channels % config.out_channels:
            raise CheckpointError(
                f"this transformer reads {config.in_channels} channels and writes "
                f"{config.out_channels}; its input must be latents and whole parts of their size"
            )
        self.transformer = transformer

    def forward(
        self, latents: Latents, time: Tensor, condition: Condition, prior: Latents
    ) -> Tensor:
        """Output (B, F, C, H, W) at the base's own, fractional step (B,)."""
        config = self.transformer.config
        p = config.patch_size
        if latents.shape[3] % p or latents.shape[4] % p:
            raise ConfigError(
                f"latents of {latents.shape[4]}x{latents.shape[3]} are not possible with this "
                f"network: its patches need sides that are multiples of {p}; choose another size"
            )
        dtype = self.transformer.dtype
        picture = condition.picture[:, None].expand_as(latents)
        shown = (latents, prior, picture)[: 1 + parts(self.transformer)]
        out: Tensor = self.transformer(
            hidden_states=torch.cat([part.to(dtype) for part in shown], 2),
            encoder_hidden_states=self._words(condition).to(dtype),
            timestep=time,
            image_rotary_emb=self._rotary(latents),
            return_dict=False,
        )[0]
        return out.to(latents.dtype)

    def _words(self, condition: Condition) -> Tensor:
        """(B, max_text_seq_length, D), zero where there is no word."""
        length: int = self.transformer.config.max_text_seq_length
        real = torch.where(condition.text_mask[..., None], condition.text, 0.0)[:, :length]
        return F.pad(real, (0, 0, 0, length - real.shape[1]))

    def _rotary(self, latents: Latents) -> tuple[Tensor, Tensor] | None:
        """Rotary embeddings of the latents' grid, where the network uses them (5B)."""
        config = self.transformer.config
        if not config.use_rotary_positional_embeddings:
            return None
        from diffusers.models.embeddings import get_3d_rotary_pos_embed
        from diffusers.pipelines.cogvideo.pipeline_cogvideox import get_resize_crop_region_for_grid

        p = config.patch_size
        grid = (latents.shape[3] // p, latents.shape[4] // p)
        trained = (config.sample_width // p, config.sample_height // p)
        angles: tuple[Tensor, Tensor] = get_3d_rotary_pos_embed(
            embed_dim=config.attention_head_dim,
            crops_coords=get_resize_crop_region_for_grid(grid, *trained),
            grid_size=grid,
            temporal_size=latents.shape[1],
            device=latents.device,
        )
        return angles


def parts(transformer: Any) -> int:
    """How many parts of the latents' size the network is shown besides them."""
    return int(transformer.config.in_channels // transformer.config.out_channels - 1)


def widen(transformer: Any, wanted: int) -> None:
    """Make room in the input for so many parts, in place.

    The new weights are zero, so that the network answers as before until it is trained.

    Raises:
        ConfigError: there is room for more already.
    """
    config = transformer.config
    if wanted < parts(transformer):
        raise ConfigError(
            f"this network is shown {parts(transformer)} parts besides the latents already and "
            f"cannot be narrowed to {wanted}"
        )
    old = transformer.patch_embed.proj
    channels = (1 + wanted) * config.out_channels
    if channels == old.in_channels:
        return
    new = nn.Conv2d(
        channels,
        old.out_channels,
        old.kernel_size,
        old.stride,
        bias=old.bias is not None,
        device=old.weight.device,
        dtype=old.weight.dtype,
    ).requires_grad_(old.weight.requires_grad)
    with torch.no_grad():
        new.weight.zero_()
        new.weight[:, : old.in_channels] = old.weight
        if old.bias is not None:
            new.bias.copy_(old.bias)  # type: ignore[union-attr]
    transformer.patch_embed.proj = new
    transformer.register_to_config(in_channels=channels)


def _load_class() -> Any:
    from diffusers import CogVideoXTransformer3DModel

    return CogVideoXTransformer3DModel


def _noise(scheduler: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Noise levels and prediction of a CogVideoXDDIMScheduler or CogVideoXDPMScheduler."""
    needed = {**_BETAS, "prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
    for name, value in needed.items():
        if scheduler.get(name, value) != value:
            raise CheckpointError(
                f"scheduler_config.json: {name} is {scheduler[name]!r}, where CogVideoX has "
                f"{value!r}; this diffusion is not supported"
            )
    return {"kind": "cogvideox", "snr_shift": float(scheduler.get("snr_shift_scale", 3.0))}, "v"


def _video(config: Mapping[str, Any]) -> Video:
    step = config["temporal_compression_ratio"]
    frames = (config["sample_frames"] - 1) // step * step + 1
    return Video([frames, 1, frames, step], 8.0, (config["sample_width"], config["sample_height"]))


FAMILY = Family(
    name="cogvideox",
    transformer="CogVideoXTransformer3DModel",
    load_class=_load_class,
    adapt=CogVideoXBackbone,
    widen=widen,
    parts=parts,
    patch=lambda transformer: int(transformer.config.patch_size),
    lora_targets=("to_q", "to_k", "to_v", "to_out.0"),
    widened=("patch_embed.proj",),
    prediction="v",
    pipelines=("CogVideoXPipeline",),
    noise=_noise,
    video=_video,
)
