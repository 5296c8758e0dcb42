from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import tomlkit

from fbridge.config import Config, known_keys, load_config, recipes

ROOT = Path(__file__).parents[2]


def test_all_keys_are_printed_for_a_start(fbridge: Any) -> None:
    ran = fbridge("config")
    assert (ran.code, ran.err) == (0, "")
    Path("mine.toml").write_text(ran.out)
    assert load_config(file=Path("mine.toml")).config == Config()
    for key in known_keys():
        assert f"{key.rpartition('.')[2]} = " in ran.out
    assert fbridge("config", "--recipe", "lora", "--set", "train.lr=1").out.count("# Rank") == 1


def test_a_file_is_resolved(fbridge: Any) -> None:
    Path("mine.toml").write_text('recipe = "lora"\n[train]\nlr = 0.5\n')
    ran = fbridge("config", "mine.toml", "--set", "log.trackers=[csv]", "--set", "train.steps=7")
    assert (ran.code, ran.err) == (0, "")
    tree = tomlkit.parse(ran.out).unwrap()
    assert tree["lora"]["rank"] == 16
    assert tree["train"]["lr"] == 0.5
    assert tree["train"]["steps"] == 7
    assert tree["log"]["trackers"] == ["csv"]
    assert "#" not in ran.out


def test_explained(fbridge: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("FBRIDGE_TRAIN_SEED", "9")
    Path("mine.toml").write_text('recipe = "lora"\n[train]\nlr = 0.5\n')
    ran = fbridge("config", "mine.toml", "--explain", "--set", "train.steps=7")
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0] == "key  value  from"
    assert len(lines) == 1 + len(known_keys())
    for line in (
        "base  unset  default",
        'recipe  "lora"  mine.toml',
        "lora.rank  16  recipe lora",
        "train.lr  0.5  mine.toml",
        "train.seed  9  FBRIDGE_TRAIN_SEED",
        "train.steps  7  command line",
    ):
        assert line in lines


def test_schema_and_recipes(fbridge: Any) -> None:
    schema = json.loads(fbridge("config", "--schema").out)
    assert "train" in schema["properties"]
    ran = fbridge("config", "--recipes")
    for name, line in zip(recipes(), ran.out.splitlines(), strict=True):
        assert line.split(maxsplit=1) == [name, recipes()[name]]


def test_a_file_is_written_once(fbridge: Any) -> None:
    ran = fbridge("config", "--recipe", "demo", "-o", "new/mine.toml")
    assert (ran.code, ran.out, ran.err) == (0, "", "new/mine.toml: written\n")
    assert load_config(file=Path("new/mine.toml")).config.data == "demo"
    before = Path("new/mine.toml").read_bytes()
    ran = fbridge("config", "-o", "new/mine.toml")
    assert ran.code == 2
    assert "new/mine.toml: exists already and stays; give another name with -o" in ran.err
    assert Path("new/mine.toml").read_bytes() == before
    assert fbridge("config", "--schema", "-o", "schema.json").code == 0
    assert "$defs" in json.loads(Path("schema.json").read_text())


def test_mistakes(fbridge: Any) -> None:
    Path("mine.toml").write_text("[train]\nstep = 3\n")
    for args, line in [
        (("mine.toml",), "mine.toml: [train] step: unknown key; did you mean 'steps'?"),
        (("gone.toml",), "gone.toml: no such file; fbridge config -o gone.toml makes one"),
        (("--set", "train.lr"), "--set train.lr: is not KEY=VALUE; write it like train.lr=1e-4"),
        (("--recipe", "dmo"), "\"dmo\": unknown recipe; did you mean 'demo'?"),
        (("--schema", "--recipes"), "--schema and --recipes: do not go together"),
        (("--schema", "mine.toml"), "--schema: says nothing of one configuration; use it alone"),
        (("--recipes", "--set", "a=1"), "--recipes: says nothing of one configuration"),
        (("--explain", "-o", "x"), "-o: does not go with --explain, which is for reading"),
    ]:
        ran = fbridge("config", *args)
        assert ran.code == 2, args
        assert line in ran.err
        assert ran.err.count("\n") == 1
    ran = fbridge("config", "mine.toml", "--set", "train.lr=fast")
    assert ran.code == 2
    assert ran.err.startswith("error: the configuration has 2 mistakes:\n")
    assert ran.err.count("\n") == 3
    assert not Path("x").exists()


def test_torch_stays_away(tmp_path: Path) -> None:
    code = (
        "import sys; from fbridge_cli.main import run; "
        "codes = [run(['config']), run(['config', '--explain']), run(['config', '-o', 'a.toml'])]; "
        "sys.stderr.write(str((codes, 'torch' in sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{ROOT / 'models'}:{ROOT}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.endswith("([0, 0, 0], False)")
