"""Processes of their own that start at once: forked from one that has everything imported.

A test that kills a process, signals it, or fills its disk needs a real one, whose imports take
longer than what is tested. `WarmPython` pays for them once: its server imports fbridge's command
line with torch, and forks for every process that is asked for.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


class Running:
    """A process that has been started.

    Attributes:
        pid: its number; it leads a session and a group of its own.
    """

    def __init__(self, server: WarmPython, pid: int, argv: Sequence[str], folder: Path) -> None:
        self._server, self._argv, self._folder = server, argv, folder
        self.pid = pid

    def wait(self, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """What it wrote and its exit code, once it has ended.

        Raises:
            TimeoutError: it has not; it is killed.
        """
        code = self._server.told({"wait": self.pid}, timeout)
        if code is None:
            os.killpg(self.pid, signal.SIGKILL)
            self._server.answer(60)
            raise TimeoutError(f"{list(self._argv)}: has not ended within {timeout:g} s")
        out, err = ((self._folder / name).read_text() for name in ("out", "err"))
        return subprocess.CompletedProcess(list(self._argv), code, out, err)


class WarmPython:
    """Starts `python ARGV...` by forking.

    Args:
        folder: for what the processes write.
        modules: to be imported beforehand.
    """

    def __init__(self, folder: Path, modules: Sequence[str]) -> None:
        self._folder, self._count = folder, 0
        paths = f"{ROOT / 'models'}:{ROOT}"
        self.environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
        for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
            self.environment.pop(name, None)
        self._process = subprocess.Popen(
            [sys.executable, __file__, *modules],
            env={**self.environment, "HF_HUB_OFFLINE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, argv: Sequence[object], *, cwd: Path, **variables: str) -> Running:
        """Start `python argv`: a script, or `-m` and a module, or `-c` and code.

        Args:
            argv: without the interpreter.
            cwd: the folder to work in.
            variables: added to the environment.
        """
        self._count += 1
        folder = self._folder / str(self._count)
        folder.mkdir()
        words = [str(word) for word in argv]
        order = {
            "argv": words,
            "cwd": str(cwd),
            "environment": {**self.environment, **variables},
            "out": str(folder / "out"),
            "err": str(folder / "err"),
        }
        pid = self.told(order, 120)
        assert pid is not None, "the server does not answer"
        return Running(self, pid, words, folder)

    def run(
        self, argv: Sequence[object], *, cwd: Path, timeout: float = 300, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Start one and wait for its end."""
        return self.start(argv, cwd=cwd, **variables).wait(timeout)

    def launch(
        self, argv: Sequence[object], world: int, *, cwd: Path, **variables: str
    ) -> list[Running]:
        """Start as many processes, in the environment that torchrun gives them."""
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = str(free.getsockname()[1])
        common = {"MASTER_ADDR": "localhost", "MASTER_PORT": port, "GLOO_SOCKET_IFNAME": "lo"}
        common |= {"WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(world), **variables}
        return [
            self.start(argv, cwd=cwd, RANK=str(n), LOCAL_RANK=str(n), **common)
            for n in range(world)
        ]

    def call(self, function: Callable[[int, Path], None], folder: Path, world: int) -> None:
        """Call `function(rank, folder)`, of a module that can be imported, in `world` processes."""
        named = f"from {function.__module__} import {function.__name__} as function"
        code = f"import os, pathlib; {named}; function(int(os.environ['RANK']), pathlib.Path.cwd())"
        ended = [each.wait() for each in self.launch(["-c", code], world, cwd=folder)]
        assert [each.returncode for each in ended] == [0] * world, ended

    def told(self, order: Mapping[str, Any], timeout: float) -> int | None:
        """The server's answer to an order; None where none comes in time."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self.answer(timeout)

    def answer(self, timeout: float) -> int | None:
        """The server's next answer; None where none comes in time."""
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], timeout)
        if not ready:
            return None
        answer = self._process.stdout.readline()
        assert answer, "the server has ended"
        return int(answer)

    def close(self) -> None:
        """End the server."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)


def _serve(modules: Sequence[str]) -> None:
    """Answer orders until there are none; in a forked process, become what is asked for."""
    import importlib

    for module in modules:
        importlib.import_module(module)
    gc.freeze()
    while line := sys.stdin.readline():
        order = json.loads(line)
        if "wait" in order:
            answer = os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1])
        else:
            answer = os.fork()
            if answer == 0:
                _become(order)
                return
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


def _become(order: Mapping[str, Any]) -> None:
    """Run as `python ARGV` would; what it raises ends the process as there."""
    import runpy

    os.setsid()
    for number, path in enumerate((os.devnull, order["out"], order["err"])):
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT
        os.dup2(os.open(path, flags, 0o644), number)
    sys.stdin = open(os.devnull)  # noqa: PTH123, SIM115 (the other one holds orders)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["environment"])
    kind, *rest = order["argv"]
    if kind == "-m":
        sys.argv, sys.path[0] = rest, order["cwd"]
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif kind == "-c":
        sys.argv, sys.path[0] = ["-c", *rest[1:]], order["cwd"]
        exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv, sys.path[0] = [kind, *rest], str(Path(kind).parent)
        runpy.run_path(kind, run_name="__main__")


if __name__ == "__main__":
    _serve(sys.argv[1:])
