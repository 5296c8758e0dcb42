"""The clips of an evaluation: where they are listed, which frames they have, how they are read."""

from fbridge.metrics.clips.cut import Clip, Cut, Failed, cut_all
from fbridge.metrics.clips.listing import Found, Listing, list_clips
from fbridge.metrics.clips.read import VARIANTS, read_clip, read_picture, vary

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
