from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fbridge.config import known_keys, load_config, parse_change
from fbridge.config.keys import environment_variable
from fbridge.errors import ConfigError

WHERE = ("command line", "environment", "file", "recipe", "default")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(text: str | bytes) -> Path:
    file = Path("finetune.toml")
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def complaint(**given: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(**given)
    message = str(caught.value)
    assert "pydantic" not in message
    assert "http" not in message
    return message


@given(st.sets(st.sampled_from(WHERE[:4])))
def test_precedence(tmp_path_factory: pytest.TempPathFactory, speaking: set[str]) -> None:
    file = tmp_path_factory.mktemp("config") / "mine.toml"
    file.write_text("[train]\nbatch_size = 3\n" if "file" in speaking else "")
    resolved = load_config(
        file=file,
        recipe="demo" if "recipe" in speaking else None,
        environment={"FBRIDGE_TRAIN_BATCH_SIZE": "2"} if "environment" in speaking else {},
        options={"train.batch_size": 1} if "command line" in speaking else {},
    )
    first = next(place for place in WHERE if place in speaking or place == "default")
    value = {"command line": 1, "environment": 2, "file": 3, "recipe": 16, "default": 8}[first]
    origin = {"environment": "FBRIDGE_TRAIN_BATCH_SIZE", "file": str(file), "recipe": "recipe demo"}
    assert resolved.config.train.batch_size == value
    assert resolved.origin["train.batch_size"] == origin.get(first, first)
    assert list(resolved.origin) == list(known_keys())


def test_who_names_the_recipe() -> None:
    file = write('recipe = "lora"\n')
    assert load_config(file=file).config.lora.rank == 16
    assert load_config(file=file).origin["recipe"] == "finetune.toml"
    demo = load_config(file=file, environment={"FBRIDGE_RECIPE": "demo"})
    assert (demo.config.lora.rank, demo.config.data) == (0, "demo")
    assert demo.origin["recipe"] == "FBRIDGE_RECIPE"
    assert load_config(file=file, options={"recipe": "demo"}).config.data == "demo"
    both = load_config(file=file, recipe="demo", options={"recipe": "ucf101"})
    assert both.config.recipe == "demo"
    assert both.origin["recipe"] == "command line"
    assert load_config(file=file, options={"recipe": ""}).config.recipe is None
    assert load_config(file=file, options={"recipe": ""}).config.lora.rank == 0


def test_every_key_has_a_variable() -> None:
    assert len({environment_variable(key) for key in known_keys()}) == len(known_keys())
    environment = {
        "FBRIDGE_BASE": "t2v.safetensors",
        "FBRIDGE_OUTPUT": "2024-01-01",
        "FBRIDGE_TRAIN_GRADIENT_ACCUMULATION": "4",
        "FBRIDGE_TRAIN_SEED": "",
        "FBRIDGE_LOG_TRACKERS": '["csv"]',
        "FBRIDGE_BRIDGE_SCHEDULE": '{ kind = "vp" }',
        "FBRIDGE_DEBUG": "1",
        "FBRIDGE_CACHE": "/x",
        "FBRIDGE_I3D": "/y",
        "TRAIN_LR": "fast",
    }
    resolved = load_config(environment=environment)
    config = resolved.config
    assert (config.base, config.output) == ("t2v.safetensors", "2024-01-01")
    assert config.train.gradient_accumulation == 4
    assert resolved.origin["train.gradient_accumulation"] == "FBRIDGE_TRAIN_GRADIENT_ACCUMULATION"
    assert resolved.origin["train.seed"] == "default"
    assert config.log.trackers == ("csv",)
    assert config.bridge.schedule == {"kind": "vp"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("train.lr=1e-4", 1e-4),
        ("train.lr=.5", 0.5),
        (" train.lr = 2 ", 2),
        ("train.steps=many", "many"),
        ('log.trackers=["csv"]', ["csv"]),
        ("log.trackers=[csv]", ["csv"]),  # what a shell leaves of the former
        ("log.trackers=csv, wandb", ["csv", "wandb"]),
        ("train.betas=[0.9, 0.99]", [0.9, 0.99]),
        ("train.betas=x", "x"),
        ("base=t2v.safetensors", "t2v.safetensors"),
        ('base="t2v.safetensors"', "t2v.safetensors"),
        ("base=12", "12"),
        ("base=a=b", "a=b"),
        ("prior.path=", ""),
        ("train.compile=true", True),
        ("nothing=true", True),
    ],
)
def test_changes(text: str, value: object) -> None:
    key, parsed = parse_change(text)
    assert key == text.split("=")[0].strip()
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize("text", ["train.lr", "=3", " = "])
def test_no_change(text: str) -> None:
    with pytest.raises(ConfigError, match=r"is not KEY=VALUE; write it like train\.lr=1e-4"):
        parse_change(text)


TRAIN = [key.removeprefix("train.") for key in known_keys() if key.startswith("train.")]
FILES: list[tuple[str | bytes, str]] = [
    ("[train]\nstep = 3", "[train] step: unknown key; did you mean 'steps'?"),
    ("[train]\nrank = 3", "[train] rank: unknown key; did you mean [lora] rank?"),
    ("[weight]\nqqqq = 3", "[weight] qqqq: unknown key; known: kind, gamma"),
    ("[trian]\nsteps = 3", "[trian]: unknown section; did you mean [train]?"),
    ("[trian]", "[trian]: unknown section; did you mean [train]?"),
    ("bases = 3", "bases: unknown key; did you mean 'base'?"),
    ("lr = 3", "lr: unknown key; did you mean [train] lr?"),
    ('[train]\n"a\\nb" = 3', '[train] "a\\nb": unknown key; known: ' + ", ".join(TRAIN)),
    ("train = 3", "train is 3 but must be a section, [train]"),
    ("[[train]]\nlr = 3", "train is [{ lr = 3 }] but must be a section, [train]"),
    ('[train]\nlr = "fast"', '[train] lr is "fast" but must be a number above 0'),
    ("[train]\nlr = 0", "[train] lr is 0 but must be a number above 0"),
    ("[train]\nlr = nan", "[train] lr is nan but must be a number above 0"),
    ("[train]\nlr = true", "[train] lr is true but must be a number above 0"),
    ('[train]\nsteps = "5"', '[train] steps is "5" but must be a whole number of 1 or more'),
    ("[train]\nsteps = 2.5", "[train] steps is 2.5 but must be a whole number of 1 or more"),
    ("[train]\nwarmup = -1", "[train] warmup is -1 but must be a whole number of 0 or more"),
    ("[train]\ncompile = 1", "[train] compile is 1 but must be true or false"),
    (
        '[train]\noptimizer = "adam"',
        '[train] optimizer is "adam" but must be one of "adamw", "adamw-8bit", "schedule-free"; '
        'did you mean "adamw"?',
    ),
    (
        "[train]\nbetas = [0.9]",
        "[train] betas is [0.9] but must be a list of 2, each a number from 0 to below 1",
    ),
    ("[lora]\ntargets = [1]", "[lora] targets is [1] but must be a list, each text"),
    ("[lora]\ndora = true", "[lora] dora is true and needs [lora] rank above 0"),
    ("[ema]\nlength = 1", "[ema] length is 1 but must be a number above 0 and below 0.28"),
    (
        "[condition]\ntext_dropout = 2",
        "[condition] text_dropout is 2 but must be a number from 0 to 1",
    ),
    (
        '[log]\ntrackers = ["csf"]',
        '[log] trackers is ["csf"] but must be a list, each one of "csv", "tensorboard", "wandb", '
        '"trackio"',
    ),
    (
        '[prior]\nkind = "neural"',
        '[prior] kind is "neural" and needs [prior] path, a run of fbridge train-prior',
    ),
    (
        "[bridge]\nschedule = 3",
        '[bridge] schedule is 3 but must be a table such as { kind = "gmax", beta_0 = 0.01, '
        "beta_1 = 50.0 }",
    ),
    (
        '[bridge.schedule]\nkind = "gmix"',
        '[bridge] schedule is { kind = "gmix" } but must be a table of kind, one of "gmax", "vp", '
        '"brownian", and that schedule\'s parameters',
    ),
    ("base = 3", "base is 3 but must be text"),
    ("base = 2024-01-01", "base is 2024-01-01 but must be text"),
    ("[base]\nx = 1", "base is { x = 1 } but must be text"),
    ('base = ["' + "x" * 99 + '"]', 'base is ["' + "x" * 58 + "... but must be text"),
    ('recipe = "dmo"', "recipe \"dmo\": unknown recipe; did you mean 'demo'?"),
    ("recipe = 3", "recipe is 3 but must be text"),
    ("a = = 2", "line 1, column 5: is not TOML: unexpected character: '='"),
    (
        "[train]\n\nbase = t2v",
        "line 3, column 9: is not TOML: unexpected character: '2'; text needs \"quotation marks\"",
    ),
    ("[train]\nlr = .3", "line 2, column 6: is not TOML: unexpected character: '.'"),
    ("lr = 1\nlr = 2", 'line 2, column 1: is not TOML: key "lr" already exists'),
    (b"\xff\xfe", "is not UTF-8 text; save it as UTF-8"),
]


@pytest.mark.parametrize(("text", "line"), FILES)
def test_mistakes_in_a_file(text: str | bytes, line: str) -> None:
    assert complaint(file=write(text)) == f"finetune.toml: {line}"


def test_no_file() -> None:
    told = complaint(file=Path("gone.toml"))
    assert told == "gone.toml: no such file; fbridge config -o gone.toml makes one"
    Path("folder").mkdir()
    assert complaint(file=Path("folder")) == "folder: is a folder; name a TOML file"


@pytest.mark.parametrize("text", ["x = " + "[" * 9000, "[x", "a = [1,\n", 'a = "', "\0"])
def test_broken_files_have_one_line(text: str) -> None:
    told = complaint(file=write(text))
    assert told.startswith("finetune.toml: ")
    assert "is not TOML" in told
    assert "\n" not in told
    assert "\0" not in told


def test_a_byte_order_mark_and_foreign_line_ends_are_no_mistake() -> None:
    file = write("\ufeff[train]\r\nsteps = 5\r\n".encode())
    assert load_config(file=file).config.train.steps == 5


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({"FBRIDGE_TRAIN_LR": "fast"}, 'is "fast" but must be a number above 0'),
        ({"FBRIDGE_TRAIN_STPES": "1"}, "unknown key; did you mean FBRIDGE_TRAIN_STEPS?"),
        ({"FBRIDGE_LOG_QQQQ": "1"}, "unknown key; unset it"),
        ({"FBRIDGE_RECIPE": "dmo"}, "\"dmo\": unknown recipe; did you mean 'demo'?"),
        ({"FBRIDGE_OUTPUT": "\udcff"}, "is not valid UTF-8 text; write it again"),
    ],
)
def test_mistakes_in_the_environment(environment: Mapping[str, str], line: str) -> None:
    assert complaint(environment=environment) == f"{next(iter(environment))}: {line}"


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"train.stps": 1}, "--set train.stps: unknown key; did you mean 'train.steps'?"),
        ({"lr": 1}, "--set lr: unknown key; did you mean 'train.lr'?"),
        ({"trian.lr": 1}, "--set trian.lr: unknown key; did you mean 'train.lr'?"),
        ({"qqqq": 1}, "--set qqqq: unknown key; fbridge config prints all keys"),
        ({"train.lr": -1.0}, "command line: train.lr is -1.0 but must be a number above 0"),
        ({"train.lr": None}, "command line: train.lr is None but must be a number above 0"),
    ],
)
def test_mistakes_on_the_command_line(options: Mapping[str, Any], line: str) -> None:
    assert complaint(options=options) == line


def test_all_mistakes_at_once() -> None:
    told = complaint(
        file=write('[train]\nstep = 3\nlr = "fast"\n[trian]\n'),
        environment={"FBRIDGE_TRAIN_SEED": "x"},
        options={"train.stps": 1},
    )
    assert told.splitlines() == [
        "the configuration has 5 mistakes:",
        "finetune.toml: [train] step: unknown key; did you mean 'steps'?",
        "finetune.toml: [trian]: unknown section; did you mean [train]?",
        "--set train.stps: unknown key; did you mean 'train.steps'?",
        'finetune.toml: [train] lr is "fast" but must be a number above 0',
        'FBRIDGE_TRAIN_SEED: is "x" but must be a whole number of 0 or more',
    ]


@given(st.text(max_size=40))
def test_any_text_loads_or_complains(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.mktemp("config") / "any.toml"
    file.write_bytes(text.encode(errors="surrogatepass"))
    with suppress(ConfigError):  # any other exception is a mistake of ours
        load_config(file=file)
