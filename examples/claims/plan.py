"""What is compared: `claims.toml` as typed objects, and the order of the work.

Everything that neither a scale, a model nor an arm names is equal in all arms.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, Literal

import tomlkit

FILE = Path(__file__).with_name("claims.toml")
Expected = Literal["lower", "equal"]
FEW_STEPS = (2, 4, 8)
"""Numbers of steps at which other times of the steps are tried."""


@dataclass(frozen=True)
class Grid:
    """Smaller numbers for a row that has many arms.

    Attributes:
        steps: of the sampler, one arm each.
        seeds, scenes: in place of the scale's.
    """

    steps: tuple[int, ...]
    seeds: tuple[int, ...]
    scenes: int


@dataclass(frozen=True)
class OfMotions:
    """Sizes in the domain of motions; attributes as those of `Scale`."""

    steps: int
    scenes: int
    draws: int
    calls: int


@dataclass(frozen=True)
class Scale:
    """How large the experiments are; attributes as in `claims.toml`."""

    name: str
    steps: int
    prior_steps: int
    seeds: tuple[int, ...]
    scenes: int
    draws: int
    calls: int
    validation: int
    grid: Grid
    motion: OfMotions


@dataclass(frozen=True)
class Model:
    """What is trained.

    Attributes:
        name: in `claims.toml`.
        line: what `fbridge finetune` is given besides.
        prior: whether it begins at a trained prior.
        random: whether its networks begin with random weights.
        trained: False of the base itself.
        share: of the scale's training steps.
        teacher: of a student, whose paths without guidance it learns the ends of.
        network: in the domain of motions, a name in `examples.claims.motion.networks`; there the
            prior is the embedded model's, and `objective` is in place of a line.
        objective: likewise, "bridge" or "diffusion".
    """

    name: str
    line: tuple[str, ...] = ()
    prior: bool = False
    random: bool = False
    trained: bool = True
    share: float = 1.0
    teacher: Model | None = None
    network: str = ""
    objective: str = "bridge"

    def size(self, scale: Scale) -> Scale | OfMotions:
        """Sizes of its domain."""
        return scale.motion if self.network else scale

    def steps(self, scale: Scale) -> int:
        """Training steps."""
        return max(1, round(self.share * self.size(scale).steps)) if self.trained else 0


@dataclass(frozen=True)
class Arm:
    """A model and how it is sampled.

    Attributes:
        name: in the row.
        model: what is trained.
        sample: arguments of the pipeline, besides the scale's.
        seeds, scenes: of this arm.
        judged: whether a draw of each scene is decoded and looked at.
    """

    name: str
    model: Model
    sample: Mapping[str, Any]
    seeds: tuple[int, ...]
    scenes: int
    judged: bool = True


@dataclass(frozen=True)
class Comparison:
    """A primary comparison: one claim in one sentence, and what it is held against."""

    claim: str
    arm: str
    control: str
    expects: Expected


@dataclass(frozen=True)
class Row:
    """A row of the table: arms, and the claims about them."""

    number: int
    title: str
    text: str
    plot: str
    arms: tuple[Arm, ...]
    comparisons: tuple[Comparison, ...]

    def arm(self, name: str) -> Arm:
        """The arm of a name."""
        return next(arm for arm in self.arms if arm.name == name)


@dataclass(frozen=True)
class Plan:
    """Everything in `claims.toml`, at one scale."""

    scale: Scale
    rows: tuple[Row, ...]
    file: Mapping[str, Any] = field(repr=False)

    @cached_property
    def family(self) -> int:
        """Number of primary comparisons, those of all rows and of the quarters of motion."""
        return sum(len(row.comparisons) for row in self.rows) + len(BY_MOTION)

    def row(self, number: int) -> Row:
        """The row of a number."""
        return next(row for row in self.rows if row.number == number)


BY_MOTION = (
    (2, Comparison("What the bridge gains over its twin grows with the scene's motion.",
                   "aligned", "twin", "lower")),
    (3, Comparison("What the neural prior gains over the repeated picture grows with the scene's "
                   "motion.", "prior", "aligned", "lower")),
)  # fmt: skip
"""Row 6, computed from rows 2 and 3: their difference in the quarter of the scenes that move most,
less the one in the quarter that moves least."""


def read_plan(scale: str, file: Path = FILE) -> Plan:
    """The plan at a scale.

    Raises:
        KeyError: a name is used that the file does not have.
    """
    held = tomlkit.parse(file.read_text(encoding="utf-8")).unwrap()
    size = _scale(scale, held["scales"][scale])
    models: dict[str, Model] = {}
    for name, table in held["models"].items():
        models[name] = _model(name, table, models)
    rows = tuple(_row(table, size, models) for table in held["rows"])
    for row in rows:
        names = {arm.name for arm in row.arms}
        for one in row.comparisons:
            # A smaller scale's grid may lack numbers of steps; a plain row's arms are all there.
            if row.plot != "steps" and not {one.arm, one.control} <= names:
                raise KeyError(f"row {row.number}: {one.arm} or {one.control} is no arm")
    return Plan(size, rows, held)


def _scale(name: str, table: Mapping[str, Any]) -> Scale:
    own = dict(table)
    grid = own.pop("grid")
    seeds = tuple(own.pop("seeds"))
    smaller = Grid(tuple(grid["steps"]), tuple(grid["seeds"]), grid["scenes"])
    motion = OfMotions(**own.pop("motion"))
    return Scale(name=name, seeds=seeds, grid=smaller, motion=motion, **own)


def _model(name: str, table: Mapping[str, Any], before: Mapping[str, Model]) -> Model:
    own = {**table, "line": tuple(table.get("line", ()))}
    if "teacher" in own:
        own["teacher"] = before[own["teacher"]]
    return Model(name, **own)


def _row(table: Mapping[str, Any], scale: Scale, models: Mapping[str, Model]) -> Row:
    arms = [_arm(one, scale, models) for one in table.get("arms", ())]
    comparisons = tuple(Comparison(**one) for one in table["comparisons"])
    if "grid" in table:
        decisive = {name for one in comparisons for name in (one.arm, one.control)}
        arms += _grid_arms(table["grid"], scale, models, decisive)
        few = [steps for steps in scale.grid.steps if steps in FEW_STEPS]
        arms += _grid_arms(table.get("few_steps", {}), scale, models, decisive, few)
    return Row(table["number"], table["title"], table["text"], table["plot"],
               tuple(arms), comparisons)  # fmt: skip


def _arm(table: Mapping[str, Any], scale: Scale, models: Mapping[str, Model]) -> Arm:
    model = models[table.get("model", table["name"])]
    # The base has one set of weights, so other seeds would be more draws of the same.
    seeds = scale.seeds if model.trained else scale.seeds[:1]
    scenes = model.size(scale).scenes
    return Arm(table["name"], model, table.get("sample", {}), seeds, scenes)


def _grid_arms(
    table: Mapping[str, Sequence[str]],
    scale: Scale,
    models: Mapping[str, Model],
    decisive: Container[str],
    numbers: Sequence[int] | None = None,
) -> list[Arm]:
    """All of a grid; arms that a comparison names have all of the scale's seeds.

    A sampler may have times other than the usual ones, as in "sde+logsnr" and "sde+shift=3".
    `numbers` of steps are by default the scale's.
    """
    found = []
    axes = (
        table.get("models", ()),
        table.get("samplers", ()),
        scale.grid.steps if numbers is None else numbers,
    )
    for model, way, steps in product(*axes):
        name = f"{model} {way} {steps}"
        sampler, _, times = way.partition("+")
        sample = {"sampler": sampler, "num_inference_steps": steps}
        kind, _, value = times.partition("=")
        if kind == "shift":
            sample["time_shift"] = float(value)
        elif times:
            sample["grid"] = times
        seeds = scale.seeds if name in decisive else scale.grid.seeds
        found.append(Arm(name, models[model], sample, seeds, scale.grid.scenes, judged=False))
    return found
