"""The request of `fbridge train-prior` and `fbridge finetune`; importing it needs no torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from fbridge.checks import check_choice, did_you_mean, home_expanded, parse_bytes
from fbridge.choices import OBJECTIVES, PRESETS
from fbridge.config import Config, Resolved, load_config
from fbridge.data.stores.url import StoreUrl, parse_target, parse_url
from fbridge.errors import CheckpointError, ConfigError, DataError
from fbridge.files.atomic import shown
from fbridge.files.hashing import SAFETENSORS
from fbridge.files.weight_files import GGUF, INDEX, PICKLES
from fbridge.loaders.locate import packaged_file
from fbridge.loaders.lora_choice import parse_lora
from fbridge.loaders.names import check_model
from fbridge.train.place import RunPlace
from fbridge.train.places import recorded_facts, with_places

Command: TypeAlias = Literal["train-prior", "finetune"]
DEMO = "demo"
"""Name of the built-in data."""
_DEMO_RECIPES: dict[Command, str] = {"finetune": "demo", "train-prior": "demo-prior"}
_DEMO_STUDENT = "demo-distill"
DISTILL = "distill"
"""The objective whose base is a student's teacher."""
USUAL_FILE = "fbridge.toml"
CONFIG = "config.toml"
RUN_FACTS = "run.json"
"""Where a run keeps its configuration in its folder."""
RUNS = Path("runs")
PRIORS = ("repeat", "motion")
DEVICES = ("auto", "cpu", "cuda")
SCRATCH = "scratch:"
_OPTIONS = {"lora.base": "--lora", "cache_size": "--cache-size"}
"""Options that are not named as their key."""
_WEIGHTS = (*SAFETENSORS, INDEX, GGUF, *PICKLES)


@dataclass(frozen=True)
class Launch:
    """The processes of a run, and which of them this is.

    Attributes:
        first, first_here: whether it is the first of all, and of its machine.
        one_process, one_machine: whether it is the only one, and all are on one machine.
    """

    first: bool = True
    first_here: bool = True
    one_process: bool = True
    one_machine: bool = True


ALONE = Launch()


@dataclass(frozen=True)
class TrainRequest:
    """A training run: its configuration, its folder, and how it begins.

    Attributes:
        command: "train-prior" or "finetune".
        resolved: the configuration with base and data filled in, and the origin of each key.
        file: the configuration's file, if any.
        run: the run's folder.
        store: where its files go, if it is behind a URL; `run` then is the copy on this machine.
        resume: continue from the newest checkpoint, where there is one.
        accept_changes: resume although learning rate, batch size and the like have changed.
        checkpoint: with `resume`, the step of the checkpoint to continue from; None is the newest.
        device: "auto", "cpu" (never an accelerator) or "cuda" (one must be there).
        dry_run: measure one step and write nothing.
        launch: the processes of the run, of which the first locks its folder.

    Raises:
        ConfigError, CheckpointError, DataError: a value is not possible, or there is no such base
            or data set.
    """

    command: Command
    resolved: Resolved
    file: Path | None
    run: Path
    resume: bool = False
    accept_changes: bool = False
    checkpoint: int | None = None
    device: str = "auto"
    dry_run: bool = False
    store: StoreUrl | None = None
    launch: Launch = ALONE

    @property
    def place(self) -> RunPlace:
        """Where the run is."""
        return RunPlace(self.run, self.store)

    @property
    def apart(self) -> bool:
        """Whether the processes have copies of the run, of which the first one's goes on."""
        return self.store is not None and not self.launch.one_machine

    def __post_init__(self) -> None:
        """Check the values, and that base and data can be there."""
        check_choice("--device", self.device, DEVICES)
        if self.accept_changes and not self.resume:
            raise ConfigError("--accept-changes: is about going on with a run; add --resume")
        if self.checkpoint is not None and not self.resume:
            raise ConfigError("--checkpoint: is about going on with a run; add --resume")
        config = self.config
        parse_bytes(self._named("cache_size"), config.cache_size)
        stored = parse_url(str(config.data), self._named("data"))
        if config.data != DEMO and stored is None and not Path(str(config.data)).is_dir():
            raise DataError(
                f"{self._named('data')} {config.data}: no such folder; fbridge prepare makes one "
                "of videos"
            )
        if self.command == "finetune":
            if config.base is None and config.bridge.objective == DISTILL:
                raise ConfigError(
                    "no teacher given; name a bridge, whose paths are learnt: --teacher RUN"
                )
            if config.base is None:
                raise ConfigError(
                    "no base given; name a text-to-video model: --base t2v.safetensors is the "
                    "small one that comes with fbridge"
                )
            check_base(self._named("base"), config.base)
            for text in config.lora.base:
                parse_lora(text, self._named("lora.base"))

    @property
    def config(self) -> Config:
        """The configuration."""
        return self.resolved.config

    def with_data(self, folder: Path) -> TrainRequest:
        """The same on another data set."""
        config = self.config.model_copy(update={"data": str(folder)})
        return replace(self, resolved=Resolved(config, self.resolved.origin))

    def _named(self, key: str) -> str:
        """A key as an error names it: as an option where it was one."""
        option = _OPTIONS.get(key, f"--{key}")
        if key == "base" and self.config.bridge.objective == DISTILL:
            option = "--teacher"
        return option if self.resolved.origin[key] == "command line" else key


def resolve_request(
    command: Command,
    options: Mapping[str, Any],
    *,
    prior: str | None = None,
    teacher: str | None = None,
    file: Path | None = None,
    resume: bool = False,
    dry_run: bool = False,
    launch: Launch = ALONE,
    **other: Any,
) -> TrainRequest:
    """The request of a command line, with the file named, a resumed run's own, or ./fbridge.toml.

    Args:
        command: "train-prior" or "finetune".
        options: values by dotted key of the configuration, "train.lr"; None is not given.
        prior: a kind of prior, or the folder of a trained one.
        teacher: of a student, a bridge's run, folder or file.
        file: the configuration's file.
        resume: see `TrainRequest`.
        dry_run: see `TrainRequest`.
        launch: see `TrainRequest`.
        other: `accept_changes`, `checkpoint` and `device` of `TrainRequest`.

    Raises:
        FBridgeError: for every impossible key or value, and what is plainly missing.
    """
    options = {key: value for key, value in options.items() if value is not None}
    options = {**_prior_options(prior), **_teacher_options(teacher, options), **options}
    if "bridge.objective" in options:
        check_choice("--objective", options["bridge.objective"], OBJECTIVES)
    path = home_expanded(file or USUAL_FILE)
    used = path if file is not None or path.is_file() else None
    run = store = None
    if resume:
        named = options.get("output") or _load(used, options).config.output
        run, store = (
            _place(named, launch, step=other.get("checkpoint"))
            if named
            else (_next_run(command, latest=True), None)
        )
        if file is None and (run / CONFIG).is_file():
            used = run / CONFIG
    found = _load(used, options)
    if run is not None and used == run / CONFIG:
        found = _where_they_were(found, run, options)
    if found.config.data is None:
        if run is not None and not run.exists():
            raise ConfigError(
                f"--resume: there is no run {store or shown(run)}; check its name, or say what to "
                "begin it with: --data and the like"
            )
        usual = (
            _DEMO_STUDENT if found.config.bridge.objective == DISTILL else _DEMO_RECIPES[command]
        )
        recipe = found.config.recipe or usual
        found = _load(used, {**options, "data": DEMO, "recipe": recipe})
    if run is None:
        named = found.config.output
        run, store = _place(named) if named else (_next_run(command), None)
        if not named and not launch.one_process and not dry_run:
            raise ConfigError("several processes must mean the same run; name it: -o RUN")
    begun: dict[str, Any] = {"resume": resume, "dry_run": dry_run, "launch": launch, **other}
    return TrainRequest(command, found, used, run, store=store, **begun)


def _place(
    named: str, fetched: Launch | None = None, *, step: int | None = None
) -> tuple[Path, StoreUrl | None]:
    """A run's folder, and the URL whose copy it is; brought to what is there if `fetched`."""
    url = parse_target(named, "-o")
    if url is None:
        return home_expanded(named), None
    from fbridge.train.stored_run import StoredRun  # it imports torch, which a typo need not await

    stored = StoredRun(url)
    if fetched is not None:
        stored.fetch(step, fetched)
    return stored.folder, url


def _prior_options(prior: str | None) -> dict[str, str]:
    """Keys of the configuration for --prior."""
    if prior is None:
        return {}
    if prior in PRIORS:
        return {"prior.kind": prior}
    if url := parse_url(prior, "--prior"):
        return {"prior.kind": "neural", "prior.path": str(url)}
    folder = home_expanded(prior)
    if not folder.is_dir():
        raise ConfigError(
            f"--prior {prior}: is neither {' nor '.join(PRIORS)} nor a folder"
            f"{did_you_mean(prior, PRIORS)}; fbridge train-prior makes one"
        )
    return {"prior.kind": "neural", "prior.path": str(folder)}


def _teacher_options(teacher: str | None, options: Mapping[str, Any]) -> dict[str, str]:
    """Keys of the configuration for --teacher: a student begins as its teacher."""
    if teacher is None:
        return {}
    objective, base = options.get("bridge.objective", DISTILL), options.get("base", teacher)
    if objective != DISTILL:
        raise ConfigError(f"--teacher {teacher}: is for --objective {DISTILL}, not {objective}")
    if base != teacher:
        raise ConfigError(
            f"--base {base}: a student begins as its teacher, --teacher {teacher}; leave --base out"
        )
    return {"bridge.objective": DISTILL, "base": teacher}


def check_base(option: str, name: str) -> None:
    """Raise unless `name` can be a base: a file, a folder, a hub id, embedded or scratch:PRESET."""
    presets = [f"{SCRATCH}{preset}" for preset in PRESETS]
    if name.startswith(SCRATCH):
        check_choice(option, name, presets)
    elif name.endswith(_WEIGHTS) and "/" in name and not Path(name).exists():
        raise CheckpointError(f"{option} {name}: no such file; check the path")
    elif "/" not in name and not Path(name).exists():
        known = ["embedded", "t2v.safetensors", *presets]
        if name not in known and packaged_file(name) is None:
            raise ConfigError(
                f"{option} {name}: unknown{did_you_mean(name, known)}; use a text-to-video "
                f"file or folder, a hub id such as owner/name, or {', '.join(known)}"
            )
    else:
        check_model(option, name)


def _load(file: Path | None, options: Mapping[str, Any]) -> Resolved:
    """The configuration, with ~ expanded in its paths."""
    found = load_config(file=file, environment=os.environ, options=options)
    names = {key: getattr(found.config, key) or "" for key in ("base", "components", "data")}
    homes = {k: str(home_expanded(name)) for k, name in names.items() if name.startswith("~")}
    return Resolved(found.config.model_copy(update=homes), found.origin)


def _where_they_were(found: Resolved, run: Path, options: Mapping[str, Any]) -> Resolved:
    """A resumed run's own configuration with its files where they were, but for those named now."""
    recorded = dict(recorded_facts(run / RUN_FACTS).get("places") or {})
    newer = {key for key, origin in found.origin.items() if origin.startswith("FBRIDGE_")}
    named = {*options, *newer}
    known = {
        key: path
        for key, path in recorded.items()
        if key not in named and key.rpartition(".")[0] not in named
    }
    return Resolved(with_places(found.config, {"places": known}), found.origin)


def _next_run(command: Command, *, latest: bool = False) -> Path:
    """The first free folder below runs/ for a command's run, or the last one that is taken."""
    name = "prior" if command == "train-prior" else "finetune"
    numbered = [RUNS / (name if n == 1 else f"{name}-{n}") for n in range(1, 10_000)]
    if not latest:
        return next(path for path in numbered if not path.exists())
    taken = [path for path in numbered if path.exists()]
    if not taken:
        raise ConfigError(f"--resume: there is no {shown(numbered[0])}; name the run: -o RUN")
    return taken[-1]
