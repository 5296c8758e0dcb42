"""Data sets of latents on disk: what `fbridge prepare` writes and training reads."""

from fbridge.data.latents.dataset import Draw, LatentBatch, LatentDataset, LatentSample, collate
from fbridge.data.latents.sampler import BucketBatches
from fbridge.data.latents.split import Split, hold_out

__all__ = [
    "BucketBatches",
    "Draw",
    "LatentBatch",
    "LatentDataset",
    "LatentSample",
    "Split",
    "collate",
    "hold_out",
]
