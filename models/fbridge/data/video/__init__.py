"""From a video file to clips of frames, in worker processes that can be killed."""

from fbridge.data.video.buckets import (
    Bucket,
    Crop,
    aspect_buckets,
    choose_bucket,
    cover,
    crop_loss,
    parse_buckets,
    upscaled,
)
from fbridge.data.video.clip import Decoded, decode_clip
from fbridge.data.video.clip_sampling import ClipSampling, choose_frames
from fbridge.data.video.container import Readable
from fbridge.data.video.pool import Failure, Workers
from fbridge.data.video.survey import ClipSpan, Survey, survey_file

__all__ = [
    "Bucket",
    "ClipSampling",
    "ClipSpan",
    "Crop",
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
