"""Two architectures of equal size that answer with a motion: a transformer and a U-Net."""

from __future__ import annotations

import torch
from diffusers import UNet1DModel
from torch import Tensor, nn

from examples.embedded.train_motion import network
from fbridge.codecs.render import CHANNELS
from fbridge.codecs.scenes.describe import DESCRIPTION, SLOTS
from fbridge.types import Condition

WIDTHS = (64, 88, 104)
"""Of the U-Net's levels, so that it has about as many weights as the transformer."""


class TrajectoryUNet(nn.Module):
    """A U-Net along time, whose channels are those of all slots (Janner et al., arXiv 2205.09991).

    The network is that of diffusers; here its input is put together. A frame's number is an input
    too, as the transformer has it.
    """

    def __init__(self) -> None:
        super().__init__()
        levels = len(WIDTHS)
        self.net = UNet1DModel(
            in_channels=SLOTS * (2 * CHANNELS + DESCRIPTION) + 1,
            out_channels=SLOTS * CHANNELS,
            time_embedding_type="positional",
            use_timestep_embedding=True,
            freq_shift=0.0,
            down_block_types=("DownResnetBlock1D",) * levels,
            mid_block_type="MidResTemporalBlock1D",
            up_block_types=("UpResnetBlock1D",) * (levels - 1),
            out_block_type="OutConv1DBlock",
            block_out_channels=WIDTHS,
            layers_per_block=1,
            act_fn="mish",
        )

    def forward(self, latents: Tensor, time: Tensor, condition: Condition, prior: Tensor) -> Tensor:
        """As `fbridge.denoiser.Backbone`; frames are a multiple of four."""
        batch, frames = latents.shape[:2]
        passed = torch.linspace(0, 1, frames, device=latents.device).expand(batch, 1, -1)
        told = condition.image_latents.flatten(1)[..., None].expand(-1, -1, frames)
        parts = [latents.flatten(2).mT, prior.flatten(2).mT, told, passed]
        out: Tensor = self.net(torch.cat(parts, 1), time).sample
        return out.mT.reshape(latents.shape)


def build(architecture: str) -> nn.Module:
    """With random weights, which torch's seed decides."""
    return {"transformer": lambda: network(timed=True), "unet": TrajectoryUNet}[architecture]()
