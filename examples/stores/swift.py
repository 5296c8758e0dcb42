"""OpenStack Swift with its S3 interface on the loopback, from Debian's packages, for a try.

    apt install swift-proxy swift-account swift-container swift-object memcached
    python -m examples.stores.swift

prints the variables by which fbridge, boto3 and others find it, and serves until Ctrl-C. It needs
no root, writes to a temporary folder alone and keeps one copy of everything: it is for tests.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

PYTHON = "/usr/bin/python3"
"""Debian's, which has Swift."""
PATIENCE = 300.0
"""Seconds until a server listens."""

# Swift reads its configuration from /etc/swift, unless it is told before anything else.
# Debian's eventlet ends an answer to HEAD without a length by a chunk, which clients that keep the
# connection (aiohttp, so s3fs) take for the next answer; so each has a length here.
_START = """
import sys
from swift.common import utils
utils.set_swift_dir(sys.argv[1])
from swift.common import wsgi

load = wsgi.loadapp

def loadapp(*args, **options):
    app = load(*args, **options)

    def with_length(env, start):
        def begin(status, headers, fault=None):
            if env["REQUEST_METHOD"] == "HEAD":
                if "content-length" not in [name.lower() for name, _ in headers]:
                    headers = [*headers, ("Content-Length", "0")]
            return start(status, headers, fault)
        return app(env, begin)

    return with_length

wsgi.loadapp = loadapp
sys.exit(wsgi.run_wsgi(sys.argv[2], sys.argv[3], verbose=True))
"""
_PIPELINE = {
    "proxy": "catch_errors gatekeeper memcache s3api tempauth bulk slo dlo proxy-server",
    "account": "account-server",
    "container": "container-server",
    "object": "object-server",
}
_FILTERS = {
    "catch_errors": "",
    "gatekeeper": "",
    "memcache": "memcache_servers = 127.0.0.1:{memcached}",
    "s3api": "s3_acl = false\nlocation = us-east-1",
    "tempauth": "user_films_somebody = {secret} .admin",
    "bulk": "",
    "slo": "",
    "dlo": "",
}


@contextmanager
def swift() -> Iterator[dict[str, str]]:
    """Serve for as long as the context lasts; yields the variables of the environment.

    Raises:
        RuntimeError: Swift is not installed, or does not start; with the end of its log.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers end, too
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="swift-")))
        secret = secrets.token_hex(16)
        ports = {kind: _free_port() for kind in _PIPELINE}
        ports["memcached"] = _free_port()
        _write(folder, ports, secret)
        logs = {kind: stack.enter_context(_server(folder, kind, ports[kind])) for kind in ports}
        for kind, (process, log) in logs.items():
            _wait(kind, ports[kind], process, log)
        yield {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{ports['proxy']}",
            "AWS_ACCESS_KEY_ID": "films:somebody",
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }


def _write(folder: Path, ports: Mapping[str, int], secret: str) -> None:
    (folder / "disk" / "d1").mkdir(parents=True)
    (folder / "swift.conf").write_text(
        f"[swift-hash]\nswift_hash_path_suffix = {secrets.token_hex(8)}\n"
    )
    for kind, pipeline in _PIPELINE.items():
        parts = [
            f"[DEFAULT]\nbind_ip = 127.0.0.1\nbind_port = {ports[kind]}\nworkers = 0\n"
            f"swift_dir = {folder}\ndevices = {folder}/disk\nmount_check = false\n"
            f"user = {_user()}\nlog_statsd_host =\n",
            f"[pipeline:main]\npipeline = {pipeline}\n",
            f"[app:{kind}-server]\nuse = egg:swift#{kind}\naccount_autocreate = true\n",
        ]
        parts += [
            f"[filter:{name}]\nuse = egg:swift#{name}\n{text.format(secret=secret, **ports)}\n"
            for name, text in _FILTERS.items()
            if name in pipeline
        ]
        (folder / f"{kind}.conf").write_text("\n".join(parts))
        if kind != "proxy":
            _ring(folder, kind, ports[kind])


def _ring(folder: Path, kind: str, port: int) -> None:
    """The map from names to disks: one copy, on the one disk."""
    build = ["swift-ring-builder", str(folder / f"{kind}.builder")]
    for args in (["create", "3", "1", "0"], ["add", f"r1z1-127.0.0.1:{port}/d1", "1"]):
        subprocess.run([*build, *args], check=True, capture_output=True)
    subprocess.run([*build, "rebalance"], check=True, capture_output=True)


@contextmanager
def _server(folder: Path, kind: str, port: int) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    log = folder / f"{kind}.log"
    command = [PYTHON, "-c", _START, str(folder), str(folder / f"{kind}.conf"), f"{kind}-server"]
    if kind == "memcached":
        command = ["memcached", "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-u", _user()]
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env=_environment())
    try:
        yield process, log
    finally:
        process.terminate()
        process.wait()


def _wait(kind: str, port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until a server listens."""
    end = time.monotonic() + PATIENCE
    while not _listens(port):
        if process.poll() is not None or time.monotonic() > end:
            said = log.read_text(errors="replace").strip()[-2000:]
            raise RuntimeError(f"swift-{kind} does not start: {said}")
        time.sleep(0.1)


def _environment() -> dict[str, str]:
    """Without what points Debian's Python to other packages."""
    return {name: text for name, text in os.environ.items() if not name.startswith("PYTHON")}


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


def _free_port() -> int:
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _listens(port: int) -> bool:
    with closing(socket.socket()) as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def main() -> None:
    """Serve until Ctrl-C."""
    with swift() as variables:
        for name, text in variables.items():
            print(f"export {name}={text}")
        sys.stdout.flush()
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
