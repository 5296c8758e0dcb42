"""Joining clusters: what is no address, what does not answer, what is missing."""

from __future__ import annotations

import signal
import socket
import sys
import time
from typing import Any

import pytest

from fbridge.cluster import connect
from fbridge.cluster.connect import join
from fbridge.cluster.report import report
from fbridge.errors import ConfigError, DependencyError
from tests.cluster.clusters import running

pytestmark = pytest.mark.xdist_group("ray")


@pytest.fixture
def here() -> Any:
    pytest.importorskip("ray")


def test_ray_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(
            DependencyError, match=r"needs the package ray; pip install 'fbridge\[ray\]'"
        ),
        join(),
    ):
        pass


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("address", ["head", "10.0.0.1", ":6379", "a b:1", "head:99999", "head:x"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="is no address; write it as HOST:PORT"), join(address):
        pass


@pytest.mark.usefixtures("here")
def test_ray_client_is_refused_with_the_way_out() -> None:
    with pytest.raises(ConfigError, match="by ray job submit"), join("ray://head:10001"):
        pass


@pytest.mark.usefixtures("here")
def test_an_address_without_an_answer_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "_ANSWER", 4.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        started = time.monotonic()
        told = f"--ray-address {address}: does not answer as a Ray cluster within 4 s; look"
        with pytest.raises(DependencyError, match=told), join(address):
            pass
        assert time.monotonic() - started < 20
    refused = r"--ray-address \S+: does not answer \(Connection refused\); .*ray status"
    with pytest.raises(DependencyError, match=refused), join(address):
        pass
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(DependencyError, match=f"^RAY_ADDRESS {address}: does not answer"), join():
        pass


@pytest.mark.usefixtures("here")
def test_a_cluster_is_joined_reported_and_left(capfd: pytest.CaptureFixture[str]) -> None:
    import ray

    with running(3) as cluster:
        address = cluster.address
        ray.shutdown()
        before = signal.getsignal(signal.SIGTERM)
        with join(address) as joined:
            assert signal.getsignal(signal.SIGTERM) == before
            assert (joined.address, joined.nodes, joined.cpus) == (address, 2, 3.0)
            assert not joined.started
            found = report(joined)
            actor = ray.remote(_Dying).options(max_restarts=0).remote()
            with pytest.raises(ray.exceptions.RayError):
                ray.get(actor.die.remote())
            time.sleep(1)
        assert not ray.is_initialized()
    assert [node["cpus"] for node in found["nodes"]].count(3.0) == 1
    assert found["mismatches"] == []
    assert all(node["versions"]["fbridge"] for node in found["nodes"])
    out, err = capfd.readouterr()
    assert out == ""
    assert "Traceback" not in err


class _Dying:
    def die(self) -> None:
        import os

        os._exit(1)


def test_nodes_that_differ_are_said() -> None:
    from fbridge.cluster.report import _mismatches

    here = {"python": "3.11.7", "fbridge": "1.0", "torch": "2.13.0"}
    node = {"name": "b", "address": "10.0.0.2"}
    other = {"python": "3.11.7", "fbridge": "", "torch": "2.12.0"}
    assert _mismatches({**node, "versions": other}, here) == [
        "b (10.0.0.2): has no fbridge, this machine 1.0",
        "b (10.0.0.2): has torch 2.12.0, this machine 2.13.0",
    ]
    assert _mismatches({**node, "versions": None}, here) == ["b (10.0.0.2): does not answer"]
