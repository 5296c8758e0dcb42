"""What the documents claim and show is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import fbridge

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readmes_python_lines_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    block = re.search(r"```python\n(.*?)```", README, re.S)
    assert block
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    exec(block[1], {})
    assert (tmp_path / "last.png").stat().st_size > 10_000


def test_every_command_is_in_the_readme() -> None:
    commands = re.findall(r"app\.command\(\)\((\w+)\)", (ROOT / "fbridge_cli/main.py").read_text())
    assert len(commands) >= 2
    for command in commands:
        assert f"fbridge {command.replace('_', '-')}" in README


def test_the_version_has_its_entry() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    assert f'version = "{fbridge.__version__}"' in project
    assert f"## [{fbridge.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "examples/README.md"])
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!http)([^)#]+)", text):
        assert ((ROOT / page).parent / target).exists(), target


def test_every_room_is_on_the_map() -> None:
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for room in (ROOT / "models/fbridge").iterdir():
        if room.suffix == ".py" or (room / "__init__.py").exists():
            assert f"`{room.stem}" in contributing or room.stem == "__init__", room
