"""From any collection of videos to a verified data set of latents."""

from fbridge.prepare.request import Options, Rank
from fbridge.prepare.run import prepare
from fbridge.prepare.verify import verify

__all__ = ["Options", "Rank", "prepare", "verify"]
