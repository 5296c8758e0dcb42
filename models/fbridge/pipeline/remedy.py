"""What to do where the precision of a network is too little for its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from fbridge.files.finite import broken_weight


def overflow_remedy(components: Mapping[str, Any], dtype: torch.dtype) -> str:
    """What a user can do about numbers that are not finite: the end of an error's message.

    Args:
        components: of the pipeline that computed them.
        dtype: of its network.
    """
    for part, network in components.items():
        if isinstance(network, nn.Module) and (name := broken_weight(network)):
            return f"the {part}'s weights do, too ({name}): the file is damaged, get it again"
    name = str(dtype).removeprefix("torch.")
    if dtype == torch.float16:
        return f"the range of {name} is too small for this model; use --dtype bfloat16 or float32"
    way = "" if dtype == torch.float32 else "--dtype float32, "
    return f"computed in {name}; use {way}a lower --guidance or another --sampler"
