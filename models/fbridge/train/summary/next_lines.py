"""The command lines that go on from a run, complete as they are to be typed."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import NamedTuple

from fbridge.choices import MINILM, SHORTEST_FVD_CLIP
from fbridge.config import load_config
from fbridge.config.tree import Config
from fbridge.config.values import as_toml
from fbridge.errors import FBridgeError
from fbridge.files.configs import has_component
from fbridge.loaders.resolve import SCRATCH, ResolvedModel, resolve
from fbridge.prepare.demo import demo_folder
from fbridge.train.request import CONFIG, DEMO, RUNS, USUAL_FILE
from fbridge.train.setup.session import Session
from fbridge.train.summary.example import Example

_SHARED = ("components", "download", "split", "validation.share", "model.condition")
"""Keys of the base, the division of the data and the condition, which both commands must share."""


class NextLine(NamedTuple):
    """A command line, and what it is for."""

    purpose: str
    line: str


def lines_after(session: Session, example: Example) -> tuple[NextLine, ...]:
    """Lines that go on from a finished run: that which uses it, longer training, the measure."""
    longer = NextLine("to train it longer", _longer(session))
    if session.command == "train-prior":
        return NextLine("to start a bridge from it", _finetune(session)), longer
    shown = session.place.shown
    words = [shown(example.picture), "-p", example.prompt, "--model", shown()]
    words += ["-o", shown(example.picture.with_suffix(".mp4"))]
    use = NextLine("to make a video with it", _joined("generate", *words))
    return use, longer, *_measure(session)


def _measure(session: Session) -> list[NextLine]:
    """The line that measures this run, where that is the one which fbridge eval finds."""
    found = session.run.parent == RUNS and not Path(USUAL_FILE).is_file()
    if not found or "source" not in session.material.dataset.index:
        return []
    enough = session.material.shape.frames >= SHORTEST_FVD_CLIP
    metric = "fvd" if enough else "psnr,ssim"
    return [NextLine("to measure it", _joined("eval", "--metric", metric))]


def line_of_stopped(session: Session) -> NextLine:
    """The line that goes on with a run that was stopped."""
    line = _joined(session.command, "-o", session.place.shown(), "--resume")
    return NextLine("to go on with it", line)


def _longer(session: Session) -> str:
    train, run = session.config.train, session.place.shown()
    words = [session.command, "-o", run, "--resume", "--steps", str(2 * train.steps)]
    # A cosine ends at the last step: with other steps it is another schedule, which is a change.
    return _joined(*words, *(["--accept-changes"] if train.lr_schedule == "cosine" else []))


def _finetune(session: Session) -> str:
    """The line that starts a bridge from a prior, on the same data with the same clips held out."""
    config, file = session.config, session.file
    named = file not in (None, Path(USUAL_FILE), session.run / CONFIG)
    used = file if named else Path(USUAL_FILE)
    usual = load_config(
        file=used if used is not None and used.is_file() else None,
        environment=os.environ,
        options={"recipe": config.recipe} if config.recipe else None,
    ).config
    words = [str(file)] if named else []
    words += ["--base", config.base or _fitting_base(session)]
    if Path(str(config.data)).resolve() != demo_folder().resolve():
        words += [
            "--data",
            str(config.data),
            *(["--recipe", config.recipe] if config.recipe else []),
        ]
    elif usual.data not in (None, DEMO):
        words += ["--data", DEMO]
    return _joined("finetune", *words, "--prior", session.place.shown(), *_changes(config, usual))


def _changes(config: Config, usual: Config) -> list[str]:
    """`--set` of what both commands must share where it is not what they would have by itself."""
    own, other = config.flat(), usual.flat()
    differing = [key for key in _SHARED if own[key] != other[key]]
    return [word for key in differing for word in ("--set", f"{key}={as_toml(own[key])}")]


def _fitting_base(session: Session) -> str:
    """The model that the data set's codec and words are of; else a network from scratch."""
    config, index = session.config, session.material.dataset.index
    name, words = index["codec"]["name"], index["text_encoder"]["name"]
    if config.model.condition == "text":
        try:
            found = resolve(name, configs_only=True)
        except FBridgeError:
            pass  # a codec alone
        else:
            if found.kind in ("base", "pipeline", "bridge") and words in _encoders(found):
                return str(name)
    return f"{SCRATCH}{config.model.preset}"


def _encoders(model: ResolvedModel) -> tuple[str, ...]:
    """Names under which a data set may have a model's own text encoder."""
    if model.kind == "base":
        return (str(model.facts["text_encoder"]),)
    own = has_component(model.facts, "text_encoder")
    return (model.name, str(model.path)) if own else (MINILM,)


def _joined(*words: str) -> str:
    return shlex.join(["fbridge", *words])
