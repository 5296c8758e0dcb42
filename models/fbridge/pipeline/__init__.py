"""FrameBridgePipeline: a picture and a prompt become a video."""

from fbridge.pipeline.pipeline import FrameBridgeOutput as FrameBridgeOutput
from fbridge.pipeline.pipeline import FrameBridgePipeline as FrameBridgePipeline
