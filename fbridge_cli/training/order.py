"""What the user typed after a training command, and the configuration that it makes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fbridge.errors import CheckpointError, ConfigError, DataError
from fbridge.files.atomic import shown
from fbridge.loaders.locate import packaged_file
from fbridge_cli.checks import check_choice, check_model, did_you_mean, home_expanded
from fbridge_cli.training.options import DEVICES, OBJECTIVES, PRESETS, PRIORS

if TYPE_CHECKING:
    from fbridge.config import Resolved

DEMO = "demo"
"""Name of the built-in data, and of the recipe for it."""
USUAL_FILE = "fbridge.toml"
RUN_FILE = "config.toml"
"""Where in its folder a run keeps its configuration: `fbridge.train.run_files.CONFIG`."""
RUNS = Path("runs")
SCRATCH = "scratch:"
_WEIGHTS = (".safetensors", ".safetensors.index.json", ".bin", ".pt", ".pth", ".ckpt")


@dataclass(frozen=True)
class Settled:
    """An order that can be carried out.

    Attributes:
        resolved: the configuration, with base and data filled in, and who decided each key.
        file: that it is from, if any.
        run: the run's folder.
    """

    resolved: Resolved
    file: Path | None
    run: Path


@dataclass(frozen=True)
class Order:
    """What the user typed, unchecked; None where he was silent."""

    command: Literal["train-prior", "finetune"]
    config: Path | None = None
    base: str | None = None
    components: str | None = None
    download: bool = False
    data: str | None = None
    prior: str | None = None
    objective: str | None = None
    no_align: bool = False
    lora: int | None = None
    loss: str | None = None
    steps: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    seed: int | None = None
    recipe: str | None = None
    changes: list[str] | None = None
    out: str | None = None
    resume: bool = False
    accept_changes: bool = False
    device: str = "auto"
    dry_run: bool = False

    def settle(self, *, alone: bool = True) -> Settled:
        """The configuration: of the file named, a resumed run's own, or ./fbridge.toml.

        Args:
            alone: whether no other process is settling the same order.

        Raises:
            FBridgeError: for every key or value that cannot be, and what is plainly missing.
        """
        check_choice("--device", self.device, DEVICES)
        if self.accept_changes and not self.resume:
            raise ConfigError("--accept-changes: is about going on with a run; add --resume")
        file = Path(USUAL_FILE) if Path(USUAL_FILE).is_file() else None
        file = file if self.config is None else home_expanded(self.config)
        run = None
        if self.resume:
            run = self._run(self.out or self._load(file).config.output, alone=alone)
            own = run / RUN_FILE
            file = own if self.config is None and own.is_file() else file
        found = self._load(file)
        if found.config.data is None:
            found = self._with_demo(file, found, run)
        self._check_present(found)
        run = run or self._run(found.config.output, alone=alone)
        return Settled(found, file, run)

    def _load(self, file: Path | None, **filled: str) -> Resolved:
        from fbridge.config import Resolved, load_config

        options = {**self._options(), **filled}
        recipe = options.pop("recipe", self.recipe)
        found = load_config(file=file, recipe=recipe, environment=os.environ, options=options)
        names = {key: getattr(found.config, key) or "" for key in ("base", "components", "data")}
        homes = {k: str(home_expanded(name)) for k, name in names.items() if name.startswith("~")}
        return Resolved(found.config.model_copy(update=homes), found.origin)

    def _with_demo(self, file: Path | None, found: Resolved, run: Path | None) -> Resolved:
        """The same with the built-in data, and its recipe unless another one is named."""
        if run is not None and not run.exists():
            raise ConfigError(
                f"--resume: there is no run {shown(run)}; check its name, or say what to begin it "
                "with: --data and the like"
            )
        return self._load(file, data=DEMO, recipe=found.config.recipe or DEMO)

    def _check_present(self, found: Resolved) -> None:
        """Raise for a base or data that cannot be there."""
        config = found.config
        if config.data != DEMO and not Path(str(config.data)).is_dir():
            raise DataError(
                f"{self._said('data', self.data)} {config.data}: no such folder; fbridge prepare "
                "makes one of videos"
            )
        if self.command == "finetune":
            if config.base is None:
                raise ConfigError(
                    "no base given; name a text-to-video model: --base t2v.safetensors is the "
                    "small one that comes with fbridge"
                )
            check_base(self._said("base", self.base), config.base)

    def _run(self, named: str | None, *, alone: bool) -> Path:
        """The run's folder: as named, or the next free one; of --resume the latest."""
        if self.out is not None or named is not None:
            return home_expanded(self.out or str(named))
        name = "prior" if self.command == "train-prior" else "finetune"
        numbered = [RUNS / (name if n == 1 else f"{name}-{n}") for n in range(1, 10_000)]
        if self.resume:
            taken = [path for path in numbered if path.exists()]
            if not taken:
                raise ConfigError(
                    f"--resume: there is no {shown(RUNS / name)}; name the run: -o RUN"
                )
            return taken[-1]
        if not alone and not self.dry_run:
            raise ConfigError("several processes must mean the same run; name it: -o RUN")
        return next(path for path in numbered if not path.exists())

    def _options(self) -> dict[str, Any]:
        if self.objective is not None:
            check_choice("--objective", self.objective, OBJECTIVES)
        typed: dict[str, Any] = {
            "base": self.base,
            "components": self.components,
            "download": self.download or None,
            "data": self.data,
            "output": self.out,
            "bridge.objective": self.objective,
            "bridge.align": False if self.no_align else None,
            "lora.rank": self.lora,
            "regression.loss": self.loss,
            "train.steps": self.steps,
            "train.batch_size": self.batch_size,
            "train.lr": self.lr,
            "train.seed": self.seed,
            **self._prior(),
            **self._changes(),
        }
        return {key: value for key, value in typed.items() if value is not None}

    def _prior(self) -> dict[str, Any]:
        if self.prior is None:
            return {}
        if self.prior in PRIORS:
            return {"prior.kind": self.prior}
        folder = home_expanded(self.prior)
        if not folder.is_dir():
            raise ConfigError(
                f"--prior {self.prior}: is neither {' nor '.join(PRIORS)} nor a folder"
                f"{did_you_mean(self.prior, PRIORS)}; fbridge train-prior makes one"
            )
        return {"prior.kind": "neural", "prior.path": str(folder)}

    def _changes(self) -> dict[str, Any]:
        from fbridge.config import parse_change

        return dict(parse_change(change) for change in self.changes or ())

    @staticmethod
    def _said(key: str, typed: str | None) -> str:
        return key if typed is None else f"--{key}"


def check_base(option: str, name: str) -> None:
    """Raise unless `name` can be a base: a file, a folder, a hub id, embedded or scratch:PRESET."""
    if name.startswith(SCRATCH):
        check_choice(option, name, [f"{SCRATCH}{preset}" for preset in PRESETS])
    elif name.endswith(_WEIGHTS) and "/" in name and not Path(name).exists():
        raise CheckpointError(f"{option} {name}: no such file; check the path")
    elif "/" not in name and not Path(name).exists():
        known = ["embedded", "t2v.safetensors", *(f"{SCRATCH}{preset}" for preset in PRESETS)]
        if name not in known and packaged_file(name) is None:
            raise ConfigError(
                f"{option} {name}: unknown{did_you_mean(name, known)}; use a text-to-video "
                f"file or folder, a hub id such as owner/name, or {', '.join(known)}"
            )
    else:
        check_model(option, name)
