"""No command takes a URL for a path: each argument reads it, or refuses it by name."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from typer.models import ArgumentInfo, ParameterInfo

from fbridge.checks import check_no_url, is_url
from fbridge.config import load_config
from fbridge.errors import ConfigError
from fbridge_cli.main import COMMANDS
from fbridge_cli.urls import TAKEN, TEXTS

URL = "s3://bucket/thing"


def parameters() -> Iterator[tuple[str, str, list[str]]]:
    """Every parameter of every command that could hold a path, with a line that gives it a URL."""
    for name, (place, _) in COMMANDS.items():
        if name == "weights":  # its arguments are names from a list
            continue
        module, function = place.split(".")
        command = getattr(import_module(f"fbridge_cli.{module}"), function)
        declared = inspect.signature(command, eval_str=True).parameters
        for parameter in declared.values():
            if (name, parameter.name) in TAKEN or parameter.name in TEXTS:
                continue
            found = (parameter.default, *getattr(parameter.annotation, "__metadata__", ()))
            info = next((one for one in found if isinstance(one, ParameterInfo)), None)
            kind = str(parameter.annotation)
            if "str" not in kind and "Path" not in kind:
                continue
            if isinstance(info, ArgumentInfo):
                yield name, parameter.name, [name, URL]
                continue
            option = f"--{parameter.name.replace('_', '-')}"
            named = [text for text in getattr(info, "param_decls", None) or () if text[:2] == "--"]
            needed = ["x"] if name in ("export", "info", "show") else []
            urls = [URL, URL] if "tuple" in kind else [URL]
            yield name, parameter.name, [name, *needed, (named or [option])[0], *urls]


@pytest.mark.parametrize(
    "line", [pytest.param(line, id=f"{name}-{one}") for name, one, line in parameters()]
)
def test_urls_are_refused_where_they_are_not_read(line: list[str], fbridge: Any) -> None:
    code, _, told = fbridge(*line)
    assert code == 2
    assert "s3://bucket/thing: is a URL, which is not taken here" in told.replace("\n", " ")
    assert [path.name for path in Path().iterdir()] == ["cat.png"]


def test_there_are_such_parameters() -> None:
    found = {(name, one) for name, one, _ in parameters()}
    assert {("generate", "replay"), ("show", "file"), ("finetune", "base")} <= found
    assert len(found) > 80


@pytest.mark.parametrize("key", ["base", "components", "lora.base"])
def test_nor_does_the_configuration(key: str, tmp_path: Path) -> None:
    section, _, name = key.rpartition(".")
    value = f'["{URL}"]' if key == "lora.base" else f'"{URL}"'
    path = tmp_path / "a.toml"
    path.write_text((f"[{section}]\n" if section else "") + f"{name} = {value}\n")
    with pytest.raises(ConfigError, match="is a URL, which is not taken here"):
        load_config(file=path)
    with pytest.raises(ConfigError, match="is a URL, which is not taken here"):
        load_config(options={key: [URL] if key == "lora.base" else URL})


def test_paths_and_web_addresses_of_models_stay() -> None:
    for text in ("C:/films", "C:\\films", "a/b:c", "style.safetensors:0.8", "owner/name", ""):
        assert not is_url(text)
    for text in ("s3://", "s3:/b", "https://host/a", "simplecache::s3://b/c", str(Path("s3://"))):
        assert is_url(text)
    check_no_url("--model", "https://huggingface.co/owner/name")
