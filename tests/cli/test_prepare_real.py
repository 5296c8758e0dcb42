"""The whole way: three small films, a small autoencoder, and a byte that falls over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from fbridge.data.latents import LatentDataset
from fbridge.data.video_files import write_video
from fbridge_cli import main

PREPARE = (
    *("prepare", "films", "-o", "latents", "--codec", "vae"),
    *("--size", "64x64", "--frames", "4", "--workers", "1", "--device", "cpu"),
)


class Ran(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three films of 96 x 72 with words beside two of them, and an autoencoder."""
    from diffusers import AutoencoderKL

    monkeypatch.chdir(tmp_path)
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    Path("films").mkdir()
    for number, name in enumerate("abc"):
        add_film(name, number)
    Path("films/a.txt").write_text("squares go right")
    Path("films/b.txt").write_text("squares go right, too")
    blocks = {"block_out_channels": (4, 8), "norm_num_groups": 2, "latent_channels": 2}
    AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        **blocks,
    ).save_pretrained("vae")


def add_film(name: str, seed: int) -> None:
    squares = np.random.default_rng(seed).integers(0, 255, (9, 12, 3), dtype=np.uint8)
    still = np.kron(squares, np.ones((8, 8, 1), np.uint8))
    frames = np.stack([np.roll(still, 2 * step, 1) for step in range(8)])
    write_video(frames, f"films/{name}.mp4", 8)


def run(capsys: pytest.CaptureFixture[str], *args: str) -> Ran:
    code = main.run(args)
    told = capsys.readouterr()
    return Ran(code, told.out, told.err)


def test_prepared_verified_damaged_mended(capsys: pytest.CaptureFixture[str]) -> None:
    ran = run(capsys, *PREPARE, "--dry-run")
    assert (ran.code, "64x64x4  3  3  3  25.0 %  0" in ran.out) == (0, True)
    assert not Path("latents/index.json").exists()
    ran = run(capsys, *PREPARE)
    assert ran.code == 0
    assert "latents: 3 clips and 3 captions in 2 shards" in ran.out
    assert "without caption: 1, kept as unconditional" in ran.out
    assert LatentDataset(Path("latents"))[0].clip.shape == (4, 2, 32, 32)
    ran = run(capsys, "prepare", "--verify", "latents")
    assert ran == Ran(0, "latents: 3 clips in 2 shards are whole; 3 sources unchanged\n", "")

    (shard,) = Path("latents/shards").rglob("*.safetensors")
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    ran = run(capsys, "prepare", "--verify", "latents")
    assert (ran.code, ran.out) == (3, "")
    assert "is not as it was written; lost with it: row 2 (c.mp4); delete " in ran.err
    assert ran.err.count("\n") == 1

    shard.unlink()
    assert run(capsys, *PREPARE).code == 0
    assert shard.read_bytes() == whole
    add_film("c", 9)
    ran = run(capsys, "prepare", "--verify", "latents")
    assert ran.code == 0
    assert "warning: 1 sources were changed since: c.mp4;" in ran.err


def test_bad_files_and_added_ones(capsys: pytest.CaptureFixture[str]) -> None:
    Path("films/empty.mp4").touch()
    ran = run(capsys, *PREPARE)
    assert ran.code == 3
    assert "rejected: 1 of 4 files\n  empty.mp4: " in ran.out
    assert "--max-bad 100%" in ran.err
    ran = run(capsys, *PREPARE, "--max-bad", "25%", "--json")
    told = json.loads(ran.out)
    assert (ran.code, told["counts"]["clips"], told["counts"]["rejected"]) == (0, 3, 1)
    assert told["rejected"][0]["key"] == "empty.mp4"
    add_film("d", 3)
    ran = run(capsys, *PREPARE, "--max-bad", "25%", "--preview")
    assert "64x64x4  4  4  1  25.0 %  0" in ran.out
    assert Path("latents/preview/sheet.png").is_file()
    assert Path("latents/preview/64x64x4.mp4").is_file()
    assert run(capsys, "prepare", "--verify", "latents").code == 0


def test_what_the_codec_cannot_take(capsys: pytest.CaptureFixture[str]) -> None:
    ran = run(capsys, *PREPARE, "--size", "63x63")
    assert (ran.code, ran.err.count("error: ")) == (2, 1)
    assert "63x63" in ran.err
