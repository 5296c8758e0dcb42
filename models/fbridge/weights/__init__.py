"""Third-party weights: files, sources, licences, and verification by sha256.

`entries` is the table, `files` finds, verifies and reads (without network access), `fetch`
downloads, `tensor_files` reads checkpoint files that the user names.
"""

from fbridge.weights.entries import CLIP_MERGES, ENTRIES, I3D_KINETICS, WeightsFile
from fbridge.weights.files import (
    cache_folder,
    digest_of,
    find_weights,
    identity,
    kept_as,
    load_weights,
    read_file,
    verify,
)
from fbridge.weights.tensor_files import read_tensors

__all__ = [
    "CLIP_MERGES", "ENTRIES", "I3D_KINETICS", "WeightsFile", "cache_folder", "digest_of",
    "find_weights", "identity", "kept_as", "load_weights", "read_file", "read_tensors", "verify",
]  # fmt: skip
