"""Keep libraries quiet, and find the device of a command; torch is imported only when needed."""

from __future__ import annotations

import gc
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from fbridge_cli.exit_codes import debugging


@contextmanager
def quiet() -> Iterator[None]:
    """Hide libraries' warnings from the user, except with --debug."""
    with warnings.catch_warnings():
        if not debugging():
            warnings.simplefilter("ignore")
            os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
            os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
            os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
            for name in ("torchao", "torch.utils._pytree"):  # they log about kernels not used here
                logging.getLogger(name).setLevel(logging.ERROR)
        yield


@contextmanager
def loading() -> Iterator[None]:
    """Spare what is imported and loaded the search for garbage, which took a tenth of the time.

    Some 300,000 objects of imported modules live until the end; `gc.freeze` takes them out of the
    search for unreachable cycles, which goes on as usual for objects made later.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def silence_libraries(*, unless: bool = False) -> None:
    """Turn off the messages and progress bars of diffusers and transformers; imports both.

    Args:
        unless: they will not be imported anyway.
    """
    if unless or debugging():
        return
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for library in (diffusers_logging, transformers_logging):
        library.set_verbosity_error()
        library.disable_progress_bar()


def present_device(device: str, local: int | None = None) -> str:
    """`fbridge.memory.devices.present_device`, with the libraries silenced."""
    from fbridge.memory.devices import present_device as present

    silence_libraries()
    return present(device, local)
