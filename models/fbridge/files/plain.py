"""Networks without diffusers: what its mixins give a network, as far as sampling needs it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import nn

from fbridge.errors import CheckpointError, reason
from fbridge.files.configs import read_json
from fbridge.files.tensors import read_weights

WEIGHTS = "diffusion_pytorch_model.safetensors"
_Made = TypeVar("_Made")


class Config(dict[str, Any]):
    """A configuration; its values are attributes, too, as of diffusers' configurations."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the configuration has no {name!r}") from None


class Plain(nn.Module):
    """A network whose class diffusers' mixins can go before, which then replace all of this.

    Attributes:
        config: the arguments of its constructor, by name.
    """

    config: Any

    if TYPE_CHECKING:  # of the mixins' methods, which mypy cannot see

        def __getattr__(self, name: str) -> Any: ...

    @property
    def dtype(self) -> torch.dtype:
        """Of the parameters."""
        return next(self.parameters()).dtype

    @property
    def device(self) -> torch.device:
        """Of the parameters."""
        return next(self.parameters()).device


def configure(kind: Callable[..., _Made], config: Mapping[str, Any]) -> _Made:
    """An object of a class from a configuration file, with its `config`.

    Args:
        kind: the class.
        config: as diffusers writes it; names that begin with "_" are about the file.
    """
    own = {name: value for name, value in config.items() if name[0] != "_"}
    made = kind(**own)
    bound = inspect.signature(kind).bind(**own)
    bound.apply_defaults()
    vars(made)["config"] = Config(bound.arguments)
    return made


def load_plain(kind: Callable[..., _Made], folder: Path) -> _Made:
    """A network in float32 from the folder of its configuration and weights.

    Its parameters require gradients, as diffusers leaves them: torch multiplies matrices in
    another way where they do not, also under `no_grad`, and the last bits would differ.

    Raises:
        CheckpointError: it does not load.
    """
    try:
        network = configure(kind, read_json(folder / "config.json"))
        assert isinstance(network, nn.Module), "networks have weights"
        network.load_state_dict(read_weights(folder / WEIGHTS))
    except (TypeError, ValueError, LookupError, RuntimeError) as error:
        raise CheckpointError(
            f"{folder}: {getattr(kind, '__name__', kind)} does not load: {reason(error)}"
        ) from error
    return network.eval()
