"""Join a Ray cluster, or start one on this machine, within a bounded time and without its noise."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fbridge.errors import ConfigError, DependencyError

LOCAL = "local"
"""The address that starts a cluster here, whatever else is running."""
_CONNECT = 10.0  # seconds for a connection to the address
_ANSWER = 60.0  # seconds for the cluster's answer, with the start of the process that asks
_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:]+\]|[^\s:/]+):(?P<port>\d{1,5})")
_TOKEN = Path("~/.ray/auth_token")
_QUIET: dict[str, Any] = {
    "log_to_driver": False, "configure_logging": False, "logging_level": logging.ERROR
}  # fmt: skip
_PROBE = """
import logging, os, sys
logging.disable(logging.ERROR)
import ray
try:
    ray.init(address=sys.argv[1], log_to_driver=False, configure_logging=False)
except ConnectionError as error:
    if sys.argv[1] == "auto":
        sys.exit(3)
    raise
print(ray.get_runtime_context().gcs_address, flush=True)
os._exit(0)
"""
"""Joins a cluster and prints its address; 3 where none is running. A process of its own, since one
that calls ray.init on an address without an answer cannot be interrupted for minutes."""


@dataclass(frozen=True)
class Cluster:
    """A cluster that this process has joined.

    Attributes:
        address: "host:port".
        started: whether it was started for this process, and ends with it.
        nodes: machines that are alive.
        cpus, gpus: of all of them, as Ray counts.
        most_cpus: of the largest machine.
    """

    address: str
    started: bool
    nodes: int
    cpus: float
    gpus: float
    most_cpus: float

    def __str__(self) -> str:
        words = [_number(self.nodes, "node"), _number(self.cpus, "CPU"), _number(self.gpus, "GPU")]
        where = "started here" if self.started else f"at {self.address}"
        return f"Ray {where}: {', '.join(words)}"


def load_ray() -> Any:
    """The package ray.

    Raises:
        DependencyError: it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else it asks on a terminal
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if _TOKEN.expanduser().is_file() and "ray" not in sys.modules:  # it is read on import
        # A head that finds this file asks for it; who joins sends it only if told to. A cluster
        # that asks for none takes it, too.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    try:
        import ray
    except ModuleNotFoundError:
        raise DependencyError(
            "--engine ray needs the package ray; pip install 'fbridge[ray]'"
        ) from None
    logging.getLogger("ray").setLevel(logging.ERROR)
    return ray


@contextmanager
def join(address: str | None = None) -> Iterator[Cluster]:
    """The cluster at an address, for as long as the context lasts.

    Args:
        address: "host:port", or "local" for a new one on this machine; None is RAY_ADDRESS, else
            the one that is running on this machine, else a new one.

    Raises:
        ConfigError: it is no address.
        DependencyError: ray is not installed, or the cluster does not answer.
    """
    ray = load_ray()
    if ray.is_initialized():  # by the program that calls us
        yield _describe(ray, started=False)
        return
    at = _resolve(address)
    quiet_init(ray, at)
    try:
        yield _describe(ray, started=at == LOCAL)
    finally:
        ray.shutdown()


def _resolve(address: str | None) -> str:
    """Where to join, with an answer from there; "local" where a cluster is to be started."""
    asked = address or os.environ.get("RAY_ADDRESS", "")
    named = "--ray-address" if address else "RAY_ADDRESS"
    if asked == LOCAL:
        return LOCAL
    if asked and asked != "auto":
        _check_connects(asked, f"{named} {asked}")
        return _ask(asked, f"{named} {asked}")
    found = _ask("auto", "the Ray cluster that is marked as running on this machine")
    if not found and (asked or address):
        raise DependencyError(
            f"{named} auto: no Ray cluster is running on this machine; start one: "
            "ray start --head, or leave the option out"
        )
    return found or LOCAL


def _check_connects(address: str, named: str) -> None:
    if address.startswith("ray://"):
        raise ConfigError(
            f"{named}: is an address of Ray Client, through which results would take a second "
            "way; run the same line on the cluster by ray job submit"
        )
    form = _ADDRESS.fullmatch(address)
    if form is None or not 0 < int(form["port"]) < 65536:
        raise ConfigError(f"{named}: is no address; write it as HOST:PORT, such as 10.0.0.1:6379")
    try:
        socket.create_connection((form["host"].strip("[]"), int(form["port"])), _CONNECT).close()
    except OSError as error:
        raise DependencyError(
            f"{named}: does not answer ({error.strerror or error}); {_WAY_OUT}"
        ) from None


_WAY_OUT = (
    "look whether the cluster is up (ray status) and the address that of its head node, or leave "
    "it out to start one here"
)


def _ask(address: str, named: str) -> str:
    """The address of a cluster that was joined there; "" where "auto" finds none."""
    line = [sys.executable, "-c", _PROBE, address]
    try:
        asked = subprocess.run(line, capture_output=True, text=True, timeout=_ANSWER, check=False)
    except subprocess.TimeoutExpired:
        raise DependencyError(
            f"{named}: does not answer as a Ray cluster within {_ANSWER:g} s; {_WAY_OUT}"
        ) from None
    if asked.returncode == 3:
        return ""
    told = asked.stdout.strip().splitlines()
    if asked.returncode or not told:
        lines = asked.stderr.strip().splitlines() or [f"exit code {asked.returncode}"]
        why = next((line for line in reversed(lines) if "Error" in line), lines[-1])
        if "InvalidAuthToken" in asked.stderr:
            raise DependencyError(
                f"{named}: asks for a token that this machine has not; copy ~/.ray/auth_token from "
                "its head node to the same place here"
            )
        raise DependencyError(f"{named}: cannot be joined ({why.strip()}); {_WAY_OUT}")
    return told[-1]


def quiet_init(ray: Any, address: str) -> None:
    """ray.init, which replaces handlers of signals and prints deaths of workers on stdout."""
    ours = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    start = {"include_dashboard": False} if address == LOCAL else {}
    try:
        ray.init(address=address, **start, **_QUIET)
    except (RuntimeError, OSError, ValueError) as error:
        text = str(error).strip().splitlines() or [type(error).__name__]
        raise DependencyError(
            f"Ray does not start ({text[0]}); see /tmp/ray for its logs"
        ) from error
    finally:
        if ours:
            signal.signal(signal.SIGTERM, before)
    _mute()


def _mute() -> None:
    """Stop what Ray prints on stdout although log_to_driver is off: it may be between JSON."""
    from ray._private import worker

    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = _ignore


def _ignore(*_: Any, **__: Any) -> None:
    pass


def _describe(ray: Any, *, started: bool) -> Cluster:
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus = [resources.get("CPU", 0.0) for resources in alive]
    gpus = sum(resources.get("GPU", 0.0) for resources in alive)
    address = ray.get_runtime_context().gcs_address
    return Cluster(address, started, len(alive), sum(cpus), gpus, max(cpus, default=0.0))


def _number(count: float, what: str) -> str:
    return f"{count:g} {what}{'' if count == 1 else 's'}"
