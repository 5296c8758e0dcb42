"""The codec whose latents are pixels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers import ConfigMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor

from fbridge.codecs import Gaussian, View
from fbridge.errors import ConfigError, DataError
from fbridge.types import Latents


class PixelCodec(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Pixels scaled to [-1, 1]; pictures must be `height` x `width`."""

    reads_text = False
    repeats = first_frame_alone = True
    needs_picture = False

    @register_to_config
    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.register_buffer("span", torch.tensor(2.0))  # of [-1, 1]; diffusers wants a tensor

    def view(
        self,
        pictures: Sequence[Tensor],
        text: Tensor,
        prompt_mask: Tensor,
        prompts: Sequence[str] | None = None,
    ) -> View:
        """The image latents are the pictures."""
        size = (self.config.height, self.config.width)
        for picture in pictures:
            if picture.shape[1:] != size:
                raise DataError(
                    f"picture is {picture.shape[2]}x{picture.shape[1]}, this model works at "
                    f"{size[1]}x{size[0]}; pass --size {size[1]}x{size[0]}"
                )
        return View(torch.stack(list(pictures)) * self.span - 1, None, tuple(pictures))

    def output_size(
        self, picture: tuple[int, int], requested: tuple[int, int] | None
    ) -> tuple[int, int]:
        """The model's only size."""
        size = (self.config.width, self.config.height)
        if requested not in (None, size):
            raise ConfigError(
                f"size {requested[0]}x{requested[1]} is not possible; this model works at "
                f"{size[0]}x{size[1]}"
            )
        return size

    def check_shape(self, width: int, height: int, frames: int) -> None:
        """Only the model's size; any number of frames."""
        self.output_size((width, height), (width, height))

    def encode(self, videos: Sequence[Tensor], view: View) -> Gaussian:
        """[0, 1] to [-1, 1]."""
        return Gaussian(torch.stack(list(videos)) * self.span - 1)

    def still(self, view: View, num_frames: int) -> Gaussian:
        """The pictures repeated."""
        return Gaussian(view.image_latents[:, None].expand(-1, num_frames, -1, -1, -1))

    def decode(self, latents: Latents, view: View) -> list[Tensor]:
        """[-1, 1] to [0, 1], clamped."""
        return list(((latents.float() + 1) / self.span.float()).clamp(0, 1))

    def tile(self) -> bool:
        """Tiles do not apply."""
        return False
