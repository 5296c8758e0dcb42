"""Metrics of sets of clips: FVD, KVD, FID, KID and the video Inception Score."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from fbridge.choices import SHORTEST_FVD_CLIP
from fbridge.evaluation.distances.frechet import extrapolated_distance, frechet_distance
from fbridge.evaluation.distances.inception_score import InceptionScore, inception_score
from fbridge.evaluation.distances.kernel import (
    KernelDistance,
    kernel_distance,
    subset_kernel_distance,
)
from fbridge.evaluation.intervals import jackknife_interval
from fbridge.evaluation.metrics.metric import MetricValue, SetMetric
from fbridge.evaluation.protocol import Protocol

_C3D_FRAMES = 16
_LEAST_FOR_LIMIT = 32  # clips a side below which a line through subsets has no meaning


def _generator(protocol: Protocol) -> torch.Generator:
    return torch.Generator().manual_seed(protocol.seed)


def _rows(features: Tensor) -> Tensor:
    """(N, D) of features (N, D) of clips, (N T, D) of features (N, T, D) of frames."""
    return features.reshape(-1, features.shape[-1])


def _frechet(own: Tensor, real: Tensor, protocol: Protocol) -> float:
    return frechet_distance(_rows(own), _rows(real), ddof=protocol.ddof)


def _frechet_measured(own: Tensor, real: Tensor, protocol: Protocol) -> MetricValue:
    """With the interval, the values of both divisors, and the limit of infinitely many clips."""
    details = {
        f"ddof{ddof}": frechet_distance(_rows(own), _rows(real), ddof=ddof) for ddof in (0, 1)
    }
    value, interval = details[f"ddof{protocol.ddof}"], None
    if own.ndim == 2:
        interval = jackknife_interval(lambda a, b: _frechet(a, b, protocol), own, real)
        if min(len(own), len(real)) >= _LEAST_FOR_LIMIT:
            limit = extrapolated_distance(
                own, real, generator=_generator(protocol), ddof=protocol.ddof
            )
            details |= {"limit": limit.limit, "limit_stderr": limit.stderr}
    return MetricValue(value, interval, details)


def _kernel(own: Tensor, real: Tensor, protocol: Protocol) -> KernelDistance:
    return subset_kernel_distance(_rows(own), _rows(real), generator=_generator(protocol))


def _kernel_measured(own: Tensor, real: Tensor, protocol: Protocol) -> MetricValue:
    found = _kernel(own, real, protocol)
    interval = jackknife_interval(kernel_distance, own, real) if own.ndim == 2 else None
    details = {"subsets": float(found.subsets), "rows": float(found.rows), "std": found.std}
    return MetricValue(found.value, interval, details)


def _inception(own: Tensor, protocol: Protocol) -> InceptionScore:
    return inception_score(own, generator=_generator(protocol))


def _inception_measured(own: Tensor, _: Tensor, protocol: Protocol) -> MetricValue:
    found = _inception(own, protocol)
    return MetricValue(found.value, None, {"std": found.std, "splits": float(found.splits)})


FVD = SetMetric(
    name="fvd", label="FVD", better="lower", needs=frozenset({"reference"}), networks=("i3d",),
    min_frames=SHORTEST_FVD_CLIP, settings="logits,eps1e-3",
    about="Fréchet Video Distance (Unterthiner et al. 2018): I3D's 400 logits",
    feature=lambda protocol: f"i3d-{protocol.resize}", measure=_frechet_measured, quick=_frechet,
)  # fmt: skip
KVD = replace(
    FVD, name="kvd", label="KVD", settings=f"{FVD.settings},cubic",
    about="Kernel Video Distance: the same logits, cubic kernel, unbiased with few clips",
    measure=_kernel_measured, quick=lambda own, real, protocol: _kernel(own, real, protocol).value,
)  # fmt: skip
FID = SetMetric(
    name="fid", label="FID", better="lower", needs=frozenset({"reference"}),
    networks=("inception",), settings="pool3,all frames",
    about="Fréchet Inception Distance over all frames of all clips, TensorFlow's resize",
    feature=lambda _: "inception", measure=_frechet_measured, quick=_frechet,
)  # fmt: skip
KID = replace(
    FID, name="kid", label="KID", settings=f"{FID.settings},cubic",
    about="Kernel Inception Distance over all frames of all clips",
    measure=_kernel_measured, quick=KVD.quick,
)  # fmt: skip
INCEPTION = SetMetric(
    name="is", label="IS", better="higher", networks=("c3d", "c3d-mean"), min_frames=_C3D_FRAMES,
    exact_frames=True, settings="10 splits",
    about="video Inception Score of clips of 16 frames under C3D for UCF-101 (TGAN)",
    feature=lambda _: "c3d", measure=_inception_measured,
    quick=lambda own, _, protocol: _inception(own, protocol).value,
)  # fmt: skip

SETS = (FVD, KVD, FID, KID, INCEPTION)
"""In the order in which they are listed."""
