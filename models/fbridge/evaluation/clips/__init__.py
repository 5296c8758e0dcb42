"""The clips of an evaluation: where they are listed, which frames they have, how they are read."""

from fbridge.evaluation.clips.listing import ListedVideo, Listing, list_clips
from fbridge.evaluation.clips.read import VARIANTS, read_clip, read_picture, vary
from fbridge.evaluation.clips.sampling import EvalClip, FailedClip, FrameSampling, sample_clips

__all__ = [
    "VARIANTS",
    "EvalClip",
    "FailedClip",
    "FrameSampling",
    "ListedVideo",
    "Listing",
    "list_clips",
    "read_clip",
    "read_picture",
    "sample_clips",
    "vary",
]
