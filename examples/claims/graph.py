"""From the plan to the nodes that make it."""

from __future__ import annotations

from collections.abc import Container
from functools import cache
from pathlib import Path

from examples.claims.nodes import Node
from examples.claims.plan import Arm, Model, Plan, Row, Scale
from fbridge.files.hashing import hash_files
from fbridge.loaders.load import load_pretrained
from fbridge.loaders.resolve import resolve

BASE = "t2v.safetensors"
EMBEDDED = "embedded"
"""The model whose neural prior and scale the domain of motions has."""
SCORED = 1
"""Version of `examples.claims.sample`: another one makes all samples anew."""
VALIDATIONS = 6
HELD_OUT_SEED = 1
"""Neither the base's clips nor the demo's are of this seed."""


@cache
def base_file() -> Path:
    """The file of the base that comes with the package."""
    found = load_pretrained(BASE).codec_path
    assert found is not None, "a file that holds both"
    return Path(found)


def embedded_hash() -> str:
    """Of the neural prior, and of the codec's numbers, by which motions are divided."""
    folder = resolve(EMBEDDED).path
    return hash_files([*sorted((folder / "prior").iterdir()), folder / "codec" / "config.json"])


class Graph:
    """The nodes of a plan.

    Attributes:
        plan: what is compared.
        clips: the node of the demo's clips, on which everything is trained.
    """

    def __init__(
        self, plan: Plan, base_hash: str | None = None, motion_hash: str | None = None
    ) -> None:
        self.plan = plan
        known = base_hash or hash_files([base_file()])
        self.clips = Node("clips", "demo", {"base": known})
        self._motion_hash = motion_hash or embedded_hash()

    def row(self, row: Row, arms: Container[str] | None = None) -> list[Node]:
        """Samples of a row or of some of its arms, arm by arm, so that each is told early."""
        return [
            self.sample(arm, seed)
            for arm in row.arms
            if arms is None or arm.name in arms
            for seed in arm.seeds
        ]

    def truth_of(self, arm: Arm) -> Node:
        """The held-out scenes of an arm, in its domain."""
        return self.motion_truth() if arm.model.network else self.truth(arm.scenes)

    def truth(self, scenes: int) -> Node:
        """Latents of the held-out scenes, their motion, and what other takes of them score."""
        settings = {"scenes": scenes, "seed": HELD_OUT_SEED, "draws": self.plan.scale.draws}
        return Node("truth", f"{scenes} scenes", settings, (self.clips,), scenes)

    def prior(self, seed: int) -> Node:
        """A neural prior."""
        steps = self.plan.scale.prior_steps
        return Node("train-prior", f"{seed}", {"seed": seed, "steps": steps}, (self.clips,), steps)

    def train(self, model: Model, seed: int) -> Node:
        """A training."""
        scale, steps = self.plan.scale, model.steps(self.plan.scale)
        needs = [self.clips]
        if model.random:
            needs.append(Node("random", "", {"seed": 0}, (self.clips,)))
        if model.prior:
            needs.append(self.prior(seed))
        if model.teacher:
            needs.append(self.train(model.teacher, seed))
        settings = {"line": list(finetune_line(model, scale)), "seed": seed}
        return Node("finetune", f"{model.name}-{steps}-{seed}", settings, tuple(needs), steps)

    def sample(self, arm: Arm, seed: int) -> Node:
        """Draws of an arm, scored."""
        if arm.model.network:
            return self._motion_sample(arm, seed)
        scale = self.plan.scale
        options = {"num_inference_steps": scale.calls, "guidance_scale": 1.0, **{
            "sampler": "sde", "grid": "trailing", "start": "noised", "strength": 1.0,
        }, **arm.sample}  # fmt: skip
        settings = {
            "options": options, "seed": seed, "scenes": arm.scenes, "draws": scale.draws,
            "judged": arm.judged, "version": SCORED,
        }  # fmt: skip
        needs = [self.truth(arm.scenes)]
        if arm.model.trained:
            needs.append(self.train(arm.model, seed))
        calls = options["num_inference_steps"] * (3 if options["sampler"] == "heun" else 1)
        # Decoding a draw takes as long as some seven calls of the network.
        units = arm.scenes * (scale.draws * calls + (9 if arm.judged else 2))
        name = f"{arm.model.name}-{seed} {_told(arm)}"
        return Node("sample", name, settings, tuple(needs), units)

    def motion_truth(self) -> Node:
        """Motions of the held-out scenes, and what other motions and the prior score."""
        size = self.plan.scale.motion
        settings = {"scenes": size.scenes, "seed": HELD_OUT_SEED, "draws": size.draws,
                    "embedded": self._motion_hash}  # fmt: skip
        return Node("motion-truth", f"{size.scenes} scenes", settings, (), size.scenes)

    def motion_train(self, model: Model, seed: int) -> Node:
        """A training in the domain of motions."""
        steps = model.steps(self.plan.scale)
        settings = {
            "network": model.network, "objective": model.objective, "prior": model.prior,
            "seed": seed, "steps": steps, "embedded": self._motion_hash,
        }  # fmt: skip
        return Node("motion", f"{model.name}-{steps}-{seed}", settings, (), steps)

    def _motion_sample(self, arm: Arm, seed: int) -> Node:
        size = self.plan.scale.motion
        options = {"sampler": "sde", "grid": "trailing", "num_inference_steps": size.calls}
        settings = {"options": options | {**arm.sample}, "seed": seed, "draws": size.draws,
                    "version": SCORED}  # fmt: skip
        needs = (self.motion_truth(), self.motion_train(arm.model, seed))
        units = size.scenes * size.draws * size.calls
        name = f"{arm.model.name}-{seed} {_told(arm)}"
        return Node("motion-sample", name, settings, needs, units)


def _told(arm: Arm) -> str:
    """How it is sampled, where that is its own."""
    return " ".join(f"{name}={value}" for name, value in sorted(arm.sample.items()))


def finetune_line(model: Model, scale: Scale) -> tuple[str, ...]:
    """Arguments of `fbridge finetune` besides base, prior, seed and folder."""
    steps = model.steps(scale)
    every = max(1, steps // VALIDATIONS)
    return (
        "--steps", f"{steps}",
        "--set", "validation.clips=0",
        "--set", f"validation.every={every}",
        "--set", f"validation.rows={scale.validation}",
        "--set", "log.trackers=[]",
        *model.line,
    )  # fmt: skip
