"""kill -9 of an upload, at any place: readers see a whole data set or none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fbridge.data.stores import ObjectError, Store, StoreUrl
from fbridge.prepare import verify
from fbridge.prepare.verification import VerifyResult
from tests.data.sources.trees import plant
from tests.data.stores.conftest import Fill
from tests.data.stores.servers import Faults
from tests.prepare.sets import film


def names(url: StoreUrl) -> list[str]:
    try:
        return [item.name for item in Store(url).items()]
    except ObjectError:
        return []


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_a_killed_process(fill: Fill, tmp_path: Path, codec: Path, proxy: Faults) -> None:
    for number in range(4):
        film(tmp_path / "films" / f"{number}.mp4", number)
    url = StoreUrl(f"{fill(plant(tmp_path / 'nothing', {'.x': b''})).parent}/latents")
    line = [sys.executable, "-m", "fbridge_cli", "prepare", str(tmp_path / "films"), "-o", str(url)]
    line += ["--codec", str(codec), "--size", "32x32", "--frames", "4", "--shard-size", "1"]
    line += ["--batch-size", "1", "--workers", "1"]
    proxy.rule = lambda method, path, _: "slow" if method == "PUT" and "/shards/" in path else ""
    first = subprocess.Popen(line, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 100
    while not any(name.startswith("shards/") for name in names(url)):
        assert first.poll() is None
        assert time.monotonic() < until
        time.sleep(0.05)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert "index.json" not in names(url)
    proxy.rule = lambda *_: ""
    again = subprocess.run(line, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    *_, verdict = verify(url)
    assert isinstance(verdict, VerifyResult)
    assert (verdict.ok, verdict.rows, verdict.sources_checked) == (True, 4, 4)
    assert not list((tmp_path / "cache" / "stores").glob("out-*/"))
