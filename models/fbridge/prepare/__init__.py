"""From any collection of videos to a verified data set of latents.

`prepare` and `verify` need torch, which is imported when one of them is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fbridge.cluster.options import RayOptions
from fbridge.prepare.request import PrepareRequest, Rank

if TYPE_CHECKING:
    from fbridge.prepare.into_store import prepare
    from fbridge.prepare.verification import verify

__all__ = ["PrepareRequest", "Rank", "RayOptions", "prepare", "verify"]


def __getattr__(name: str) -> Any:
    if name == "prepare":
        from fbridge.prepare.into_store import prepare

        return prepare
    if name == "verify":
        from fbridge.prepare.verification import verify

        return verify
    raise AttributeError(f"module 'fbridge.prepare' has no attribute {name!r}")
