"""The clips of an evaluation: where they are listed, which frames they have, how they are read."""

from fbridge.evaluation.clips.listing import Found, Listing, list_clips
from fbridge.evaluation.clips.read import VARIANTS, read_clip, read_picture, vary
from fbridge.evaluation.clips.sampling import Clip, Cut, Failed, cut_all

__all__ = [
    "VARIANTS",
    "Clip",
    "Cut",
    "Failed",
    "Found",
    "Listing",
    "cut_all",
    "list_clips",
    "read_clip",
    "read_picture",
    "vary",
]
