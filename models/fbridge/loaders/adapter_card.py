"""The card of an adapter: its base, and where that lies now."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from fbridge.errors import CheckpointError
from fbridge.files.configs import check_form, read_json
from fbridge.files.model_forms import AdapterForm
from fbridge.loaders.locate import ADAPTER

FORMAT = 1


@dataclass(frozen=True)
class AdapterCard:
    """What `adapter.json` holds.

    Attributes:
        base: name of the base, as it was asked for.
        base_sha256: its hash.
        parts: besides the latents, that the base's input was expanded for.
        scheduler: configuration of the bridge.
        pipeline: `frames`, `fps`, `sizes`, `classes`, `start_from`, `world` of the pipeline.
        components: see `fbridge.loaders.load.load_pretrained`.
        base_path, components_path: absolute, where `base` and `components` are on the disk.
        loras: that were merged into the base before; each a `fbridge.files.lora_record.LoraRecord`
            as JSON. Left out where there are none, as in older adapters.
        expert: which network of a pair the base is, where that was said; left out where not.
        second: of a bridge of both networks, the folder in the adapter's with that of the network
            for little noise; left out where there is none.
        format: of the folder.
    """

    base: str
    base_sha256: str
    parts: int
    scheduler: dict[str, Any]
    pipeline: dict[str, Any] = field(default_factory=dict)
    components: str | None = None
    base_path: str | None = None
    components_path: str | None = None
    loras: list[dict[str, Any]] = field(default_factory=list)
    expert: str | None = field(default=None, kw_only=True)
    second: str | None = field(default=None, kw_only=True)
    format: int = FORMAT

    def text(self) -> str:
        """As JSON, without newer keys that say nothing, which older versions do not know."""
        tree = asdict(self)
        for key in ("loras", "expert", "second"):
            if not tree[key]:
                del tree[key]
        return json.dumps(tree, indent=2, sort_keys=True) + "\n"

    def place(self, base: str | None = None) -> BasePlace:
        """Where the base lies.

        Args:
            base: as a user names it now; None is where it was when the adapter was trained, or what
                its name means here.
        """
        components = _present(self.components_path) or self.components
        return BasePlace(base or _present(self.base_path) or self.base, components)


class BasePlace(NamedTuple):
    """Names of a base and of its components, as `fbridge.loaders.resolve.resolve` takes them."""

    base: str
    components: str | None


def read_card(folder: Path) -> AdapterCard:
    """The card of an adapter.

    Raises:
        CheckpointError: it is broken or of a newer format.
    """
    path = folder / ADAPTER
    held = read_json(path)
    if held.get("format", FORMAT) != FORMAT:
        raise CheckpointError(
            f"{path}: has format {held['format']}, and this version reads {FORMAT}; update fbridge"
        )
    check_form(AdapterForm, held, path)
    try:
        return AdapterCard(**held)
    except TypeError as error:
        raise CheckpointError(f"{path}: is no adapter's card: {error}") from error


def absolute(name: str | None) -> str | None:
    """The absolute path of a file or folder; None of any other name."""
    return None if name is None or not Path(name).exists() else str(Path(name).absolute())


def _present(path: str | None) -> str | None:
    return path if path is not None and Path(path).exists() else None
