"""From one video file to clips of frames, inside workers that can be killed."""

from fbridge.data.clips.buckets import (
    Bucket,
    Crop,
    aspect_buckets,
    choose_bucket,
    cover,
    crop_loss,
    parse_buckets,
    upscaled,
)
from fbridge.data.clips.cutting import Cutting, choose_frames
from fbridge.data.clips.decode import Decoded, decode_clip
from fbridge.data.clips.opening import Readable
from fbridge.data.clips.survey import Cut, Survey, survey_file
from fbridge.data.clips.workers import Failure, Workers

__all__ = [
    "Bucket",
    "Crop",
    "Cut",
    "Cutting",
    "Decoded",
    "Failure",
    "Readable",
    "Survey",
    "Workers",
    "aspect_buckets",
    "choose_bucket",
    "choose_frames",
    "cover",
    "crop_loss",
    "decode_clip",
    "parse_buckets",
    "survey_file",
    "upscaled",
]
