"""What the documents show holds: commands parse and run; options, links and keys exist."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer

import fbridge
from fbridge.config import load_config
from fbridge.data.scenes import write_scenes
from fbridge.data.shapes import write_clips
from fbridge_cli.main import build_app, run

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMAND_PAGES = ["README.md", *sorted(f"docs/{page.name}" for page in ROOT.glob("docs/*.md"))]
PAGES = [
    *COMMAND_PAGES,
    "CONTRIBUTING.md",
    *sorted(str(page.relative_to(ROOT)) for page in ROOT.glob("examples/**/README.md")),
]
OTHER = "docs/other-commands.md"

PREPARE = "prepare videos -o latents --codec t2v.safetensors --frames 17 --size 64x64"
FINETUNE = "finetune --base t2v.safetensors --data latents"
BEFORE = {
    "docs/finetune.md": [PREPARE],
    OTHER: [
        "generate examples/cat.jpg -p zoom --frames 4 --size 64x64 -o cat.mp4",
        PREPARE,
        f"{FINETUNE} -o runs/bridge",
        f"{FINETUNE} -o runs/lora --lora 4",
    ],
}
"""Command lines that make what a page takes for granted."""
SMALL = {
    "FBRIDGE_TRAIN_STEPS": "1",
    "FBRIDGE_TRAIN_BATCH_SIZE": "2",
    "FBRIDGE_VALIDATION_ROWS": "1",
    "FBRIDGE_VALIDATION_CLIPS": "0",
}
"""So that a training line of a page, as it stands, ends in seconds."""


class Block(NamedTuple):
    """A block of code: its language, the comment before it, and its text."""

    language: str
    comment: str
    text: str


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> Iterator[Block]:
    """Fenced blocks, and those indented by four spaces, which are shell lines or Python."""
    text = read(page)
    fence = re.compile(r"(?:<!-- *([^\n]*?) *-->\n)?```(\w*)\n(.*?)^```$", re.S | re.M)
    for found in fence.finditer(text):
        yield Block(found[2], found[1] or "", found[3])
    for found in re.finditer(r"(?:^ {4}.*\n)+", fence.sub("", text), re.M):
        yield Block("indented", "", re.sub(r"^ {4}", "", found[0], flags=re.M))


def commands(text: str) -> Iterator[list[str]]:
    """Arguments of each `fbridge ...` and `-m fbridge_cli ...`, with variables filled in."""
    variables: dict[str, str] = {}
    for line in text.replace("\\\n", " ").splitlines():
        if given := re.fullmatch(r'(\w+)="([^"]*)"', line.strip()):
            variables[given[1]] = given[2]
            continue
        if "fbridge" not in line:
            continue
        for name, value in variables.items():
            line = line.replace(f"${name}", value)
        line = re.sub(r"^srun bash -c '(.*)'$", r"\1", line.strip())
        for part in line.split(" && "):
            words = shlex.split(part, comments=True)
            if "fbridge_cli" in words:
                yield words[words.index("fbridge_cli") + 1 :]
            elif words[:1] == ["fbridge"]:
                yield words[1 : words.index(">")] if ">" in words else words[1:]


def shown(page: str) -> Iterator[list[str]]:
    """Arguments of every command line in the blocks of a page."""
    for block in blocks(page):
        if block.language in ("sh", "indented", ""):
            yield from commands(block.text)


def mentioned(page: str) -> Iterator[list[str]]:
    """Arguments of every `fbridge ...` within a sentence."""
    prose = re.sub(r"^```.*?^```$", "", read(page), flags=re.S | re.M)
    for span in re.findall(r"`(fbridge [^`]+)`", prose):
        yield from commands(re.sub(r"\s+", " ", span))


@cache
def program() -> Any:
    return typer.main.get_command(build_app())


def command_named(args: list[str]) -> tuple[Any, list[str]]:
    """The command that arguments name, and those that are its own."""
    command, rest = program(), list(args)
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        assert rest[0] in command.commands, f"fbridge {shlex.join(args)}: no command {rest[0]}"
        command = command.commands[rest.pop(0)]
    return command, rest


def parse(args: list[str], *, whole: bool = True) -> None:
    """Let the real command line judge arguments, without doing anything.

    Args:
        args: without the program's name.
        whole: whether it is a mistake that an argument or an option's value is missing.
    """
    command, rest = command_named(args)
    line = f"fbridge {shlex.join(args)}"
    if hasattr(command, "commands"):  # a group's own options end the program: --version, --help
        known = {name for parameter in command.params for name in parameter.opts}
        assert set(rest) <= known | {"-h", "--help"}, line
        return
    try:
        command.make_context(line, rest)
    except Exception as error:
        if type(error).__name__ == "Exit":  # --help
            return
        if whole or type(error).__name__ not in ("MissingParameter", "BadOptionUsage"):
            pytest.fail(f"{line}: {error}")


def leaves(command: Any, *path: str) -> Iterator[tuple[str, Any]]:
    """Every command that can be run, with its name."""
    for name, inner in command.commands.items():
        if hasattr(inner, "commands"):
            yield from leaves(inner, *path, name)
        else:
            yield " ".join((*path, name)), inner


LEAVES = dict(leaves(program()))


def page_of(command: str) -> str:
    """The page of a command: its own, or its section of the page of the smaller ones."""
    own = ROOT / f"docs/{command}.md"
    if own.exists():
        return own.read_text(encoding="utf-8")
    heading = f"## fbridge {command.split()[0]}\n"
    assert heading in read(OTHER), f"no page and no section for fbridge {command}"
    return read(OTHER).split(heading)[1].split("\n## ")[0]


def anchors(page: Path) -> set[str]:
    """The names under which GitHub links to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readmes_python_lines_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    block = re.search(r"```python\n(.*?)```", README, re.S)
    assert block
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    exec(block[1], {})
    assert (tmp_path / "last.png").stat().st_size > 10_000


def test_the_readme_is_short_and_keeps_its_test_line() -> None:
    assert len(README.splitlines()) <= 150
    line = re.search(r"<!-- test line -->\n```sh\n(.*)\n```", README)
    assert line
    assert line[1].endswith("poe check")


def test_every_command_is_in_the_readme() -> None:
    assert len(LEAVES) >= 11
    for command in program().commands:
        assert f"fbridge {command}" in README


@pytest.mark.parametrize("command", LEAVES)
def test_every_option_is_on_the_page_of_its_command(command: str) -> None:
    page = page_of(command)
    assert f"fbridge {command}" in page
    options = {
        name
        for parameter in LEAVES[command].params
        for name in (*parameter.opts, *parameter.secondary_opts)
        if name.startswith("--") and name != "--help"
    }
    assert not {name for name in options if not re.search(rf"{name}(?![\w-])", page)}


@pytest.mark.parametrize("page", PAGES)
def test_every_command_line_is_one(page: str) -> None:
    for args in shown(page):
        parse(args)
    for args in mentioned(page):
        parse(args, whole=False)


def test_wrong_command_lines_would_be_found() -> None:
    for wrong in ("generate --nothing", "eval --seed many", "show", "weights fetched", "--nothing"):
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            parse(shlex.split(wrong))
    text = 'O="--steps 2"\nfbridge finetune $O \\\n  --lr 1 > log  # a comment\n'
    assert list(commands(text)) == [["finetune", "--steps", "2", "--lr", "1"]]
    assert list(commands("cd x && fbridge show a.mp4")) == [["show", "a.mp4"]]
    assert list(commands("accelerate launch -m fbridge_cli eval a")) == [["eval", "a"]]


@pytest.mark.parametrize("page", COMMAND_PAGES)
def test_every_command_line_is_run_or_says_why_not(page: str) -> None:
    for block in blocks(page):
        if block.language == "sh" and list(commands(block.text)):
            assert re.fullmatch(r"run|not run: .+", block.comment), block.text


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in COMMAND_PAGES if any(b.comment == "run" for b in blocks(page))]
)
def test_command_lines_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page's lines one after the other in one folder, with a few videos, and the Python after."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    write_scenes(tmp_path / "videos", 6, seed=0)
    for seed, side in enumerate(("takes", "real", "other") if page == "docs/eval.md" else ()):
        write_clips(tmp_path / side, 6, seed=seed)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)  # one worker
    monkeypatch.setenv("FBRIDGE_CACHE", str(tmp_path / "cache"))
    for name, value in SMALL.items():
        monkeypatch.setenv(name, value)
    for line in BEFORE.get(page, []):
        assert run(shlex.split(line)) == 0, line
    for block in blocks(page):
        if block.comment == "run":
            for args in commands(block.text):
                assert run(args) == 0, shlex.join(args)
        elif block.comment.startswith("not run"):
            continue
        elif block.language == "python" and page != "README.md":
            exec(block.text, {})


@pytest.mark.parametrize("page", COMMAND_PAGES)
def test_every_toml_block_is_a_configuration(page: str, tmp_path: Path) -> None:
    for number, block in enumerate(blocks(page)):
        if block.language == "toml":
            file = tmp_path / f"{number}.toml"
            file.write_text(block.text, encoding="utf-8")
            load_config(file=file)


def test_the_version_has_its_entry() -> None:
    project = read("pyproject.toml")
    assert f'version = "{fbridge.__version__}"' in project
    assert f"## [{fbridge.__version__}]" in read("CHANGELOG.md")


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\((?!http)([^)]+)\)", read(page)):
        name, _, anchor = target.partition("#")
        file = (ROOT / page).parent / name if name else ROOT / page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


@pytest.mark.parametrize("page", COMMAND_PAGES[1:])
def test_every_page_is_reached_from_the_readme(page: str) -> None:
    assert f"({page})" in README


def test_every_room_is_on_the_map() -> None:
    contributing = read("CONTRIBUTING.md")
    for room in (ROOT / "models/fbridge").iterdir():
        if room.suffix == ".py" or (room / "__init__.py").exists():
            assert f"`{room.stem}" in contributing or room.stem == "__init__", room
