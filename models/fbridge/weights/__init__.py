"""Third-party weights: files, sources, licences, and verification by sha256.

`entries` is the table, `files` finds, verifies and reads (without network access), `fetch`
downloads, `tensor_files` reads checkpoint files that the user names.
"""

from fbridge.weights.entries import (
    AESTHETIC,
    ALEXNET,
    AMT_S,
    C3D_MEAN,
    C3D_UCF101,
    CLIP_MERGES,
    CLIP_VIT_B32,
    CLIP_VIT_L14,
    DINO_VIT_B16,
    DREAMSIM,
    ENTRIES,
    I3D_KINETICS,
    INCEPTION_FID,
    LPIPS_HEADS,
    MUSIQ_SPAQ,
    RAFT_THINGS,
    WeightsFile,
)
from fbridge.weights.files import (
    cache_folder,
    digest_of,
    find_weights,
    identity,
    kept_as,
    load_weights,
    read_arrays,
    read_file,
    verify,
    wanted,
)
from fbridge.weights.tensor_files import read_tensors

__all__ = [
    "AESTHETIC",
    "ALEXNET",
    "AMT_S",
    "C3D_MEAN",
    "C3D_UCF101",
    "CLIP_MERGES",
    "CLIP_VIT_B32",
    "CLIP_VIT_L14",
    "DINO_VIT_B16",
    "DREAMSIM",
    "ENTRIES",
    "I3D_KINETICS",
    "INCEPTION_FID",
    "LPIPS_HEADS",
    "MUSIQ_SPAQ",
    "RAFT_THINGS",
    "WeightsFile",
    "cache_folder",
    "digest_of",
    "find_weights",
    "identity",
    "kept_as",
    "load_weights",
    "read_arrays",
    "read_file",
    "read_tensors",
    "verify",
    "wanted",
]
