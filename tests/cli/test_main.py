"""The program as a process: quick help, no torch where none is needed, signals, closed pipes."""

from __future__ import annotations

import gc
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import fbridge as package
from fbridge_cli import main, runtime
from tests.warm import WarmPython

CODE = "import sys; from fbridge_cli.main import run; code = run(sys.argv[1:])"
LIGHT = CODE + "; sys.stderr.write(str('torch' in sys.modules)); sys.exit(code)"
FAKE = (
    "import sys, runpy; from fbridge_cli import main; from fbridge.generate import load; "
    f"load.load_pipeline = runpy.run_path({str(Path(__file__).parent / 'conftest.py')!r})"
    "['load_fake']; main.main()"
)
ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "models"), str(ROOT)])}


def process(code: str, *args: str, cwd: Path, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *args],
        cwd=cwd,
        env={**ENVIRONMENT, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("args", "code"),
    [
        ((), 0),
        (("--help",), 0),
        (("generate", "--help"), 0),
        (("--version",), 0),
        (("show", "cat.mp4"), 0),
        (("generate", "cat.png"), 2),
        (("generate", "cat.png", "-p", "x", "--steps", "0"), 2),
        (("generate", "gone.png", "-p", "x"), 3),
    ],
)
def test_torch_stays_away(fbridge: Any, tmp_path: Path, args: tuple[str, ...], code: int) -> None:
    fbridge("generate", "cat.png", "-p", "jump")
    started = process(LIGHT, *args, cwd=tmp_path)
    _, err = started.communicate(timeout=20)
    assert started.returncode == code
    assert err.endswith("False")


def test_help_and_version(fbridge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fbridge("--version").out == f"fbridge {package.__version__}\n"
    monkeypatch.setenv("COLUMNS", "120")
    words = fbridge("--help").out
    assert fbridge().out == words
    for command in ("generate", "show"):
        assert re.search(rf"\b{command}\b", words)
        text = fbridge(command, "--help").out
        assert "Example:" in text
        assert f"fbridge {command} " in text


def test_the_help_imports_no_command(tmp_path: Path) -> None:
    """Nor what only commands need."""
    code = (
        "import sys; from fbridge_cli import main; main.run(['--help']); own = {m for m in "
        "sys.modules if m.startswith('fbridge')}; heavy = {'torch', 'numpy', 'PIL', 'av', 'cv2', "
        "'tomllib', 'safetensors', 'scipy', 'diffusers', 'transformers'} & set(sys.modules); "
        "sys.stderr.write(' '.join(sorted(own | heavy)))"
    )
    _, err = process(code, cwd=tmp_path).communicate(timeout=20)
    assert err.split() == [
        "fbridge", "fbridge.errors", "fbridge.files", "fbridge.files.hub", "fbridge_cli",
        "fbridge_cli.exit_codes", "fbridge_cli.main", "fbridge_cli.plain", "fbridge_cli.ui",
    ]  # fmt: skip


def test_the_help_of_all_commands_says_what_theirs_say(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`main.COMMANDS` repeats the first sentences of the commands' docstrings."""
    monkeypatch.setenv("COLUMNS", "160")
    main.build_app()(args=["--help"], prog_name="fbridge", standalone_mode=False)
    whole = capsys.readouterr().out
    assert main.run(["--help"]) == 0
    assert capsys.readouterr().out == whole


def test_completions_know_the_commands_options(tmp_path: Path) -> None:
    asked = {"_FBRIDGE_COMPLETE": "complete_bash", "COMP_CWORD": "2"}
    started = process(CODE, cwd=tmp_path, COMP_WORDS="fbridge generate --offl", **asked)
    assert started.communicate(timeout=20)[0].split() == ["--offload"]


def test_what_is_loaded_is_not_searched_for_garbage() -> None:
    came_before = gc.get_freeze_count()
    try:
        with runtime.loading():
            assert not gc.isenabled()
            loaded: list[list[int]] = [[] for _ in range(1000)]
        assert gc.isenabled()
        assert gc.get_freeze_count() >= came_before + len(loaded)
    finally:
        gc.unfreeze()


def wait_for(path: Path, running: subprocess.Popen[str]) -> None:
    while not path.exists():
        assert running.poll() is None
        time.sleep(0.02)


@pytest.mark.usefixtures("cat")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_signals(tmp_path: Path, number: signal.Signals, code: int) -> None:
    args = ("generate", "cat.png", "-p", "jump", "--num", "3")
    running = process(FAKE, *args, cwd=tmp_path, FAKE_DELAY="0.1")
    wait_for(tmp_path / "cat-1.mp4.json", running)
    time.sleep(0.2)
    running.send_signal(number)
    out, err = running.communicate(timeout=20)
    assert running.returncode == code
    assert err == "interrupted; finished before: cat-1.mp4\n"
    assert out.startswith("cat-1.mp4: ")
    left = sorted(entry.name for entry in tmp_path.iterdir())
    assert left == ["cat-1.mp4", "cat-1.mp4.json", "cat.png"]


@pytest.mark.usefixtures("cat")
def test_killed_outright_nothing_looks_finished(tmp_path: Path) -> None:
    args = ("generate", "cat.png", "-p", "jump", "--num", "3")
    running = process(FAKE, *args, cwd=tmp_path, FAKE_DELAY="0.1")
    wait_for(tmp_path / "cat-1.mp4.json", running)
    running.kill()
    running.communicate(timeout=20)
    left = {entry.name for entry in tmp_path.iterdir() if not entry.name.endswith(".part")}
    assert left == {"cat-1.mp4", "cat-1.mp4.json", "cat.png"}


def test_interrupt_within(fbridge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_TROUBLE", "interrupt 1")
    ran = fbridge("generate", "cat.png", "-p", "jump")
    assert (ran.code, ran.err) == (130, "interrupted; nothing was made\n")
    monkeypatch.setenv("FAKE_TROUBLE", "interrupt 6")
    ran = fbridge("generate", "cat.png", "-p", "jump", "--num", "5", "--json")
    assert ran.code == 130
    assert ran.err.startswith("interrupted; finished before: ..., cat-2.mp4, cat-3.mp4, cat-4.mp4")
    assert '"video": "cat-4.mp4"' in ran.out


def test_closed_pipe(fbridge: Any, tmp_path: Path) -> None:
    fbridge("generate", "cat.png", "-p", "jump")
    running = process(CODE, "show", "cat.mp4", cwd=tmp_path)
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdout.close()
    assert "Traceback" not in running.stderr.read()
    running.wait(timeout=20)
    running.stderr.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_output_that_finds_no_room(tmp_path: Path, warm: WarmPython) -> None:
    code = (
        "import os, sys; os.dup2(os.open('/dev/full', os.O_WRONLY), 1); "
        "sys.argv = ['fbridge', 'eval', '--list']; from fbridge_cli.main import main; main()"
    )
    ended = warm.run(["-c", code], cwd=tmp_path)
    assert "error: no room is left where the output goes" in ended.stderr
    assert ended.returncode == 4


def test_a_signal_has_its_code_in_every_command(
    fbridge: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        monkeypatch.setattr(
            "fbridge_cli.config.home_expanded",
            lambda _, number=number: os.kill(os.getpid(), number),
        )
        ran = fbridge("config", tmp_path / "x.toml")
        assert (ran.code, ran.err) == (code, "interrupted\n")
