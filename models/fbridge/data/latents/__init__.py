"""Data sets of latents on disk: what `fbridge prepare` writes and training reads."""

from fbridge.data.latents.dataset import Draw, LatentBatch, LatentDataset, LatentSample, collate
from fbridge.data.latents.sampler import BucketBatches
from fbridge.data.latents.split import Parts, hold_out

__all__ = [
    "BucketBatches",
    "Draw",
    "LatentBatch",
    "LatentDataset",
    "LatentSample",
    "Parts",
    "collate",
    "hold_out",
]
