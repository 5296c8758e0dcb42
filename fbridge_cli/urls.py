"""Which arguments may be URLs: all others refuse them, so that no folder called s3: is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer.models import ArgumentInfo, ParameterInfo

from fbridge.checks import check_no_url, home_expanded
from fbridge.errors import FBridgeError

if TYPE_CHECKING:
    from fbridge.data.stores.url import StoreUrl

TAKEN = {("prepare", name) for name in ("source", "media_root", "out", "verify")}
TAKEN |= {(name, key) for name in ("train-prior", "finetune") for key in ("data", "out")}
TAKEN |= {("finetune", "prior")}
TAKEN |= {("info", "model"), ("export", "run"), ("export", "other")}
TAKEN |= {("generate", "images"), ("generate", "out"), ("generate", "model")}
TAKEN |= {("eval", name) for name in ("generated", "reference", "out", "report")}
"""Commands and parameters that read URLs."""
TEXTS = {"prompt", "negative", "caption_prefix", "title", "question", "changes"}
"""Parameters that are no path, whatever they hold; `changes` are checked as configuration."""


def refusing_urls(name: str, command: Callable[..., Any]) -> Callable[..., Any]:
    """The function of a command, which raises ConfigError for a URL that it cannot read."""

    @wraps(command)
    def checked(**values: Any) -> Any:
        for parameter, value in values.items():
            if (name, parameter) not in TAKEN and parameter not in TEXTS:
                for text in _texts(value):
                    check_no_url(_shown(command, parameter), text)
        return command(**values)

    return checked


def place(where: str, text: str) -> Path | StoreUrl:
    """The folder or file that an argument names, on this machine or behind a URL.

    Raises:
        ConfigError: as `fbridge.data.stores.parse_url`.
    """
    from fbridge.data.stores.url import parse_url

    return parse_url(text, where) or home_expanded(text)


def made_in(store: StoreUrl) -> Path:
    """The folder of this machine in which a data set of a store is made."""
    from fbridge.prepare.upload import local_folder  # it imports torch, which a typo need not await

    return local_folder(store)


@contextmanager
def renaming(told: Callable[[str], str]) -> Iterator[None]:
    """Errors name what the user named, by `told`, and not its copy on this machine."""
    try:
        yield
    except FBridgeError as error:
        text = told(str(error))
        if text == str(error):
            raise
        raise type(error)(text) from error


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, (str, Path)):
        yield str(value)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _texts(one)


def _shown(command: Callable[..., Any], parameter: str) -> str:
    """The name of a parameter as the help has it."""
    declared = signature(command, eval_str=True).parameters[parameter]
    found = (declared.default, *getattr(declared.annotation, "__metadata__", ()))
    info = next((one for one in found if isinstance(one, ParameterInfo)), None)
    if isinstance(info, ArgumentInfo):
        return str(info.metavar or parameter.upper()).strip("[].")
    names = [name for name in getattr(info, "param_decls", None) or () if name[:2] == "--"]
    return names[0] if names else f"--{parameter.replace('_', '-')}"
