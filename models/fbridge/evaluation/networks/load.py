"""Base of the networks of metrics: weights by the names in the authors' files."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any, ClassVar

from torch import Tensor, nn
from typing_extensions import Self

from fbridge.errors import CheckpointError
from fbridge.weights import ENTRIES, load_weights


class MetricNetwork(nn.Module):
    """A network in evaluation mode, its parameters without gradients.

    Attributes:
        title: name of the network, for errors.
        weights: names of its files in `fbridge.weights.ENTRIES`.
    """

    title: ClassVar[str]
    weights: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def load(cls) -> Self:
        """The network with the published weights, loaded once in a process.

        Raises:
            CheckpointError: The weights are missing, or not the published ones.
        """
        network = _loaded(cls)  # type: ignore[arg-type]  # mypy: type[Self] has no hash
        assert isinstance(network, cls)
        return network

    @classmethod
    def from_state(cls, *states: Any, **options: Any) -> Self:
        """The network with the tensors of its files.

        Args:
            states: tensors by the authors' names, one dict a file; a prefix "module."
                (DataParallel) is removed.
            options: of `empty`.

        Raises:
            CheckpointError: A tensor is missing, superfluous or of another shape.
        """
        try:
            network = cls.empty(*states, **options)
            own = {name.removeprefix("module."): held for name, held in cls.renamed(*states)}
            on_meta = any(parameter.is_meta for parameter in network.parameters())
            network.load_state_dict(own, assign=on_meta)
        except KeyError as error:
            raise CheckpointError(f"{cls.title} weights lack {error}") from error
        except (IndexError, RuntimeError) as error:
            what = str(error).splitlines()[-1].strip()
            raise CheckpointError(f"{cls.title} weights do not fit: {what}") from error
        return network.eval().requires_grad_(requires_grad=False)

    @classmethod
    def empty(cls, *states: Any, **options: Any) -> Self:  # noqa: ARG003
        """The network before its weights; subclasses may take its sizes from their shapes."""
        return cls(**options)

    @classmethod
    def renamed(cls, *states: Any) -> Iterable[tuple[str, Tensor]]:
        """The tensors by the network's own names."""
        items: Iterable[tuple[str, Tensor]] = states[0].items()
        return items


@cache
def _loaded(kind: type[MetricNetwork]) -> MetricNetwork:
    return kind.from_state(*(load_weights(ENTRIES[name]) for name in kind.weights))
