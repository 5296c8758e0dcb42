"""How a cluster is divided among encoders and decoders."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fbridge.cluster.connect import Cluster
from fbridge.errors import ConfigError, DependencyError
from fbridge.prepare import RayOptions
from fbridge.prepare.on_ray import Arrangement, arrange


def cluster(cpus: float, gpus: float = 0.0, most: float | None = None) -> Cluster:
    return Cluster("head:1", False, 1, cpus, gpus, cpus if most is None else most)


def test_without_gpus_half_of_the_cpus_encodes() -> None:
    assert arrange(RayOptions(), cluster(8), 1) == Arrangement(8, 0.5, 0.0, 1, 0.5, 8, 1.0)
    assert arrange(RayOptions(), cluster(8), 4) == Arrangement(2, 2.0, 0.0, 4, 0.5, 8, 1.0)
    assert arrange(RayOptions(workers=1), cluster(8), 1) == Arrangement(1, 0.5, 0.0, 1, 0.5, 1, 1.0)


def test_each_gpu_or_share_of_one_encodes() -> None:
    assert arrange(RayOptions(), cluster(32, 4), 16) == Arrangement(4, 0.0, 1.0, 8, 1.0, 32, 1.0)
    halves = arrange(RayOptions(gpu_share=0.5), cluster(32, 4), 16)
    assert (halves.encoders, halves.gpus, halves.decoders) == (8, 0.5, 4)
    assert arrange(RayOptions(device="cpu"), cluster(32, 4), 1).gpus == 0
    with pytest.raises(DependencyError, match="no node of the Ray cluster has a GPU"):
        arrange(RayOptions(device="cuda"), cluster(32), 1)


@given(
    cpus=st.integers(1, 300),
    gpus=st.integers(0, 20),
    workers=st.none() | st.integers(1, 500),
    threads=st.integers(1, 128),
    share=st.floats(0.01, 1),
)
def test_all_actors_have_room_at_the_same_time(
    cpus: int, gpus: int, workers: int | None, threads: int, share: float
) -> None:
    options = RayOptions(workers=workers, gpu_share=share)
    found = arrange(options, cluster(cpus, gpus), threads)
    assert found.encoders >= 1
    assert found.decoders >= 1
    each = found.encoder_cpus + found.decoders * found.decoder_cpus
    least = 0.01 * found.encoders * (1 + found.decoders)  # Ray's smallest share
    assert found.encoders * each <= max(cpus, least) + 1e-6
    assert found.encoders * found.gpus <= gpus + 1e-6
    assert found.surveyors * found.surveyor_cpus <= max(cpus, 0.01 * found.surveyors) + 1e-6


def test_what_ray_cannot_give_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"--gpu-share 0"):
        RayOptions(gpu_share=0)
    with pytest.raises(ConfigError, match=r"--device cuda:1: with --engine ray it is one of"):
        RayOptions(device="cuda:1")
    with pytest.raises(ConfigError, match=r"--workers 0"):
        RayOptions(workers=0)
