"""Weights into the networks of metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from torch import Tensor, nn

from fbridge.errors import CheckpointError

Network = TypeVar("Network", bound=nn.Module)


def load_network(
    name: str,
    make: Callable[[], Network],
    state: Mapping[str, Tensor] | Iterable[tuple[str, Tensor]],
    *,
    assign: bool = False,
) -> Network:
    """A network with these weights in evaluation mode, its parameters without gradients.

    Args:
        name: of the network, for errors: "Inception".
        make: builds the network; may look up its sizes in the weights.
        state: tensors by the network's own names; a prefix "module." (DataParallel) is removed.
        assign: take the tensors themselves, for a network that was built on the meta device.

    Raises:
        CheckpointError: A tensor is missing, superfluous or of another shape.
    """
    try:
        network = make()
        own = {key.removeprefix("module."): tensor for key, tensor in dict(state).items()}
        network.load_state_dict(own, assign=assign)
    except KeyError as error:
        raise CheckpointError(f"{name} weights lack {error}") from error
    except (IndexError, RuntimeError) as error:
        what = str(error).splitlines()[-1].strip()
        raise CheckpointError(f"{name} weights do not fit: {what}") from error
    return network.eval().requires_grad_(requires_grad=False)
