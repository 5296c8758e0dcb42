"""From picture and prompt to video, as a diffusers pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from diffusers.utils import BaseOutput

from fbridge.pipeline.model import BridgeModel
from fbridge.pipeline.sampling import BridgeOutput, BridgeSampling

STOCK_NUMBERS = "bridge"
"""Key of model_index.json with a bridge's numbers for stock diffusers; see `fbridge.interop`."""


@dataclass
class FrameBridgeOutput(BridgeOutput, BaseOutput):  # type: ignore[misc]
    """Videos, uint8 (F, H, W, 3), and the latents (B, F, C, H, W) they were decoded from."""


class FrameBridgePipeline(BridgeSampling, BridgeModel):
    """Sample videos from pictures with a bridge.

    pipe = FrameBridgePipeline.from_pretrained("embedded")
    frames = pipe(load_picture("cat.jpg"), "cat jumping", seed=7).frames[0]
    """

    output_class = FrameBridgeOutput

    @classmethod
    def extract_init_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """Arguments of the constructor, from model_index.json without `STOCK_NUMBERS`."""
        own = {key: value for key, value in config_dict.items() if key != STOCK_NUMBERS}
        return super().extract_init_dict(own, **kwargs)
