"""The clips of an evaluation: list the videos of a side, choose frames, read them."""

from fbridge.evaluation.clips.listing import ListedVideo, Listing, list_clips
from fbridge.evaluation.clips.read import read_clip, read_picture, vary
from fbridge.evaluation.clips.sampling import EvalClip, FailedClip, FrameSampling, sample_clips

__all__ = [
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
