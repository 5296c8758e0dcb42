"""From picture and prompt to video, as a diffusers pipeline."""

from __future__ import annotations

from dataclasses import dataclass

from diffusers.utils import BaseOutput

from fbridge.pipeline.model import BridgeModel
from fbridge.pipeline.sampling import BridgeOutput, BridgeSampling


@dataclass
class FrameBridgeOutput(BridgeOutput, BaseOutput):  # type: ignore[misc]
    """Videos, uint8 (F, H, W, 3), and the latents (B, F, C, H, W) they were decoded from."""


class FrameBridgePipeline(BridgeSampling, BridgeModel):
    """Sample videos from pictures with a bridge.

    pipe = FrameBridgePipeline.from_pretrained("embedded")
    frames = pipe(load_picture("cat.jpg"), "cat jumping", seed=7).frames[0]
    """

    output_class = FrameBridgeOutput
