"""The formulas of docstrings: each on a line of its own, and true of the code beside it."""

from __future__ import annotations

import ast
import inspect
import math
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor

import fbridge
import fbridge_cli
from fbridge import alignment as alignment_module
from fbridge import parameterization as parameterization_module
from fbridge import process as process_module
from fbridge.alignment import FlowSchedule, SNRAlignment
from fbridge.parameterization import PREDICTIONS
from fbridge.process import BridgeProcess, Coefficients, DiffusionProcess, Process
from fbridge.sampling import Step, sample_dbim
from fbridge.schedule import BrownianSchedule, GmaxSchedule, Schedule, VPSchedule
from tests.oracles import KnownVideo, blank_condition, predicts

Equations = list[tuple[str, str]]

SCHEDULES = [GmaxSchedule(0.4, 9.0), VPSchedule(0.3, 1.7), BrownianSchedule(1.3)]
T, S = (torch.tensor([t], dtype=torch.float64) for t in (0.37, 0.81))
VALUES = {"x_0": 0.7, "x_1": -1.1, "x_s": -0.4, "eps": 1.9}


def displayed(text: str) -> Equations:
    """(left, right) of every equation that stands alone on an indented line."""
    lines = re.findall(r"^ {4,}([^:\n]+? = [^=:\n]+)$", inspect.cleandoc(text), flags=re.MULTILINE)
    return [(left, right) for left, right in (line.split(" = ") for line in lines)]


def derivation() -> dict[str, Equations]:
    """Equations of the docstring of `fbridge.process` by the bold heading above them."""
    assert process_module.__doc__ is not None
    first, *rest = re.split(r"^\*\*(.+?)\.\*\*", process_module.__doc__, flags=re.MULTILINE)
    parts = {"": first, **dict(zip(rest[::2], rest[1::2], strict=True))}
    return {title: displayed(text) for title, text in parts.items()}


def evaluate(formula: str, names: dict[str, float]) -> float:
    """A formula of a docstring in numbers: a space is a product, ^ a power, ' a derivative."""
    tokens = re.findall(r"[A-Za-z_][\w.]*'?|\d+|[-+*/^()]", formula)
    assert "".join(tokens) == formula.replace(" ", ""), formula
    python = ""
    for before, token in zip(["(", *tokens], tokens, strict=False):
        ends, begins = before not in "(+-*/^", token not in ")+-*/^"
        product = ends and begins and not (token == "(" and before in ("sqrt", "exp"))
        python += " * " if product else " "
        python += {"^": "**"}.get(token, token.replace("'", "_prime"))
    known = {name.replace("'", "_prime"): value for name, value in names.items()}
    scope = {"__builtins__": {}, "sqrt": math.sqrt, "exp": math.exp}
    return float(eval(python, scope, known))


def holds(equations: Equations, names: dict[str, float]) -> None:
    for left, right in equations:
        found = evaluate(right, names)
        assert found == pytest.approx(evaluate(left, names), rel=1e-12, abs=1e-12), (left, right)


def lefts(equations: Equations) -> list[str]:
    return [left for left, _ in equations]


def reference(schedule: Schedule) -> dict[str, float]:
    """Values of the reference diffusion at the two times."""
    return {
        f"{name}_{letter}": float(getattr(schedule, name)(time))
        for name in ("alpha", "rho")
        for letter, time in (("t", T), ("s", S))
    }


def weights(c: Coefficients, suffix: str = "") -> dict[str, float]:
    return {f"{name}{suffix}": float(value) for name, value in c._asdict().items()}


def number(value: float) -> Tensor:
    return torch.full((1, 1, 1, 1, 1), value, dtype=torch.float64)


def test_a_formula_is_read_as_it_is_written() -> None:
    names = {"a": 2.0, "b_t": 5.0, "data'": 7.0}
    assert evaluate("a b_t - 1 / a^2", names) == 9.75
    assert evaluate("-(a + 1) sqrt(b_t - 1) / a", names) == -3
    assert evaluate("a (data' / a) b_t", names) == 35
    with pytest.raises(AssertionError):
        evaluate("a = b_t", names)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: type(schedule).__name__)
class TestDerivation:
    """Every displayed equation of `fbridge.process`, in numbers of the code."""

    def test_the_bridges_weights(self, schedule: Schedule) -> None:
        equations = derivation()[""]
        assert lefts(equations) == ["x_t", "data", "prior", "noise", "w"]
        names = VALUES | reference(schedule)
        c = BridgeProcess(schedule).coefficients(T, end=S)
        names |= weights(c) | {"w": 1 - float(c.data) / names["alpha_t"]}
        names["x_t"] = float(
            c.data * names["x_0"] + c.prior * names["x_s"] + c.noise * names["eps"]
        )
        holds(equations, names)

    def test_the_reference_diffusion(self, schedule: Schedule) -> None:
        (state, forward) = derivation()["Reference diffusion"]
        names = VALUES | reference(schedule)
        x_0, eps = number(names["x_0"]), number(names["eps"])
        marginal = DiffusionProcess(schedule)
        holds([state], names | {"x_t": float(marginal.sample(x_0, x_0, T, eps))})
        moved = evaluate(
            forward[1], names | {"eps": 0.0, "x_t": float(marginal.sample(x_0, x_0, T, 0 * eps))}
        )
        added = evaluate(forward[1], names | {"eps": 1.0, "x_t": 0.0})
        kept = evaluate(forward[1], names | {"eps": 0.0, "x_t": names["alpha_t"] * names["rho_t"]})
        assert forward[0] == "x_s"
        assert moved == pytest.approx(float(marginal.sample(x_0, x_0, S, 0 * eps)), rel=1e-12)
        assert math.hypot(kept, added) == pytest.approx(
            float(marginal.coefficients(S).noise), rel=1e-12
        )

    def test_pinning_and_signal_to_noise(self, schedule: Schedule) -> None:
        names = VALUES | reference(schedule)
        c = BridgeProcess(schedule).coefficients(T, end=S)
        names |= weights(c) | {"w": names["rho_t"] ** 2 / names["rho_s"] ** 2}
        mean = float(c.data * names["x_0"] + c.prior * names["x_s"]) / names["alpha_t"]
        ends = {"u_0": names["x_0"], "u_s": names["x_s"] / names["alpha_s"]}
        spread = {"mean": mean, "variance": (float(c.noise) / names["alpha_t"]) ** 2}
        assert lefts(derivation()["Pinning both ends"]) == ["mean", "variance"]
        holds(derivation()["Pinning both ends"], names | ends | spread)
        assert lefts(derivation()["Signal to noise"]) == ["data / noise", "(data / noise)^2"]
        holds(derivation()["Signal to noise"], names)

    def test_a_samplers_step(self, schedule: Schedule) -> None:
        step, part, ode = derivation()["Samplers"]
        assert (step[0], part[0], ode[0]) == ("x_t", "k", "dx / dt")
        bridge, eta = BridgeProcess(schedule), 0.6
        names = VALUES | weights(bridge.coefficients(T), "_t")
        names |= weights(bridge.coefficients(S), "_s")
        names["omega"] = eta * float(bridge.coefficients(T, end=S).noise)
        x_0, x_1, eps = (number(names[name]) for name in ("x_0", "x_1", "eps"))
        reports: list[Step] = []
        sample_dbim(
            KnownVideo(x_0), bridge, x_1, torch.cat([S, T, 0 * T]), blank_condition(),
            noise=lambda _: eps, eta=eta, on_step=reports.append,
        )  # fmt: skip
        names["x_s"] = float(bridge.sample(x_1, x_1, S, eps))
        names["k"] = evaluate(part[1], names)
        holds([step], names | {"x_t": float(reports[0].state)})

    def test_the_probability_flow(self, schedule: Schedule) -> None:
        bridge = BridgeProcess(schedule)

        def state(t: Tensor) -> Tensor:
            c = bridge.coefficients(t)
            return torch.cat(
                [*c, c.data * VALUES["x_0"] + c.prior * VALUES["x_1"] + c.noise * VALUES["eps"]]
            )

        values = dict(zip(("data", "prior", "noise", "x"), state(T).tolist(), strict=True))
        slopes = torch.autograd.functional.jacobian(state, T).flatten().tolist()
        names = (
            VALUES | values | dict(zip(("data'", "prior'", "noise'", "dx"), slopes, strict=True))
        )
        holds(derivation()["Samplers"][2:], names | {"dt": 1.0})

    def test_the_diffusion_baseline(self, schedule: Schedule) -> None:
        equations = derivation()["Diffusion baseline"]
        assert lefts(equations) == ["data", "prior", "noise"]
        holds(equations, reference(schedule) | weights(DiffusionProcess(schedule).coefficients(T)))

    def test_a_schedules_own_formulas(self, schedule: Schedule) -> None:
        equations = displayed(type(schedule).__doc__ or "")
        alpha, rho = float(schedule.alpha(T)), float(schedule.rho(T))
        names = {"alpha": alpha, "rho": rho, "t": float(T), "B": -2 * math.log(alpha)}
        holds(equations, names | vars(schedule))
        assert lefts(equations)[:2] == ["alpha", "rho^2"]


def predictions() -> dict[str, tuple[str, ...]]:
    """Rows of the table in the docstring of `fbridge.parameterization` by their first cell."""
    assert parameterization_module.__doc__ is not None
    rows = re.findall(
        r"^ {4}(\S+(?:  +\S.*)+)$", parameterization_module.__doc__, flags=re.MULTILINE
    )
    name, *cells = zip(*(re.split(r"  +", row) for row in rows), strict=True)
    return dict(zip(name, zip(*cells, strict=True), strict=True))


def test_the_table_has_every_prediction() -> None:
    assert list(predictions())[1:] == list(PREDICTIONS)
    assert predictions()["prediction"] == ("output", "y", "skip", "out")


@pytest.mark.parametrize("name", list(PREDICTIONS))
@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: type(schedule).__name__)
@pytest.mark.parametrize("process", [BridgeProcess, DiffusionProcess])
def test_a_row_of_the_table(
    name: str, schedule: Schedule, process: Callable[[Schedule], Process]
) -> None:
    output, y, skip, out = predictions()[name]
    made = process(schedule)
    found = predicts(name, made, FlowSchedule() if name.startswith("aligned-") else None)
    names = VALUES | weights(made.coefficients(T))
    names |= {"alpha": float(schedule.alpha(T)), "rho": float(schedule.rho(T))}
    names |= {"m": names["data"] + names["noise"], "n": math.hypot(names["data"], names["noise"])}
    x_0, x_1, eps = (number(names[letter]) for letter in ("x_0", "x_1", "eps"))
    x = made.sample(x_0, x_1, T, eps)
    names |= {"x": float(x), "free": float(x) - names["prior"] * names["x_1"]}
    scalings = found.scalings(T)
    if name == "preconditioned":
        names |= {"skip": float(scalings.skip), "out": float(scalings.out)}
    else:
        assert evaluate(skip, names) == pytest.approx(float(scalings.skip), rel=1e-12)
        assert evaluate(out, names) == pytest.approx(float(scalings.out), rel=1e-12)
    answer = float(found.target(x_0, x_1, x, T))
    assert evaluate(output, names) == pytest.approx(answer, rel=1e-12)
    means = float(scalings.skip) * names[y] + float(scalings.out) * answer
    assert means == pytest.approx(names["x_0"], rel=1e-12)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: type(schedule).__name__)
@pytest.mark.parametrize("process", [BridgeProcess, DiffusionProcess])
def test_the_alignment(schedule: Schedule, process: Callable[[Schedule], Process]) -> None:
    base, state, latent, ratio = displayed(alignment_module.__doc__ or "")
    made = process(schedule)
    alignment = SNRAlignment(made, FlowSchedule(time_scale=1.0))
    x_0, x_1, eps = (number(VALUES[letter]) for letter in ("x_0", "x_1", "eps"))
    x, s = made.sample(x_0, x_1, T, eps), float(alignment.time(T))
    names = VALUES | weights(made.coefficients(T)) | {"signal_k": 1 - s, "noise_k": s}
    names |= {"x": float(x), "latent": float(alignment.latent(x, x_1, T))}
    holds([state, latent, ratio], names)
    holds([(base[1], latent[0])], names)  # the aligned state is one of the base's


def docstrings() -> Iterator[tuple[str, str]]:
    """(where, text) of every docstring of the two packages."""
    for package in (fbridge, fbridge_cli):
        folder = Path(package.__path__[0])
        for file in sorted(folder.rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                    text = ast.get_docstring(node, clean=False)
                    if text is not None:
                        name = getattr(node, "name", "")
                        yield f"{file.relative_to(folder.parent)}:{name}", text


SYMBOL = re.compile(r"[A-Z]\w* ([-+*/^=] |times \w+\()")
OPEN_END, OPEN_START = re.compile(r" [-+*/^=]$"), re.compile(r"\s*[+*/^=] [\w(]")


def torn(text: str) -> list[str]:
    """What of a docstring is a formula that was capitalised, broken, or joined to another."""
    lines = text.splitlines()
    found = lines[:1] if lines and SYMBOL.match(lines[0]) else []
    found += [line for line in lines if OPEN_END.search(line.rstrip())]
    found += [line for line in lines if re.search(r" = .*\S {3,}\S+ += ", line)]
    return found + [
        line
        for before, line in pairwise(lines)
        if OPEN_START.match(line) and _indent(line) <= _indent(before)
    ]


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def test_torn_formulas_are_seen() -> None:
    assert torn("X / alpha - rho * output.")
    assert torn("Scale times sqrt(t).")
    assert torn("Text.\n\nthat is 1 / rho_t^2 - 1\n/ rho_s^2 = 4.")
    assert torn("Text.\n\nthe weight, prior =\n0.")
    assert torn("Text.\n\n    data = alpha (1 - w)         prior = alpha w")
    assert not torn("The clean video x / alpha.\n\n    data = alpha (1 - w)\n    prior = alpha w")


def test_no_formula_is_torn() -> None:
    found = [(where, line) for where, text in docstrings() for line in torn(text)]
    assert not found
