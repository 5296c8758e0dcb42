"""FrameBridgePipeline: from a picture and a prompt to a video."""

from fbridge.pipeline.pipeline import FrameBridgeOutput as FrameBridgeOutput
from fbridge.pipeline.pipeline import FrameBridgePipeline as FrameBridgePipeline
