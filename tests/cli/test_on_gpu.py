"""The command line on an accelerator: prepare, train in half precision, go on, generate."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState

from fbridge.data.provenance import read_provenance
from fbridge.data.shapes import write_clips
from tests.cli.conftest import Workshop, draw_picture
from tests.pipelines import publish

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
SIZE = ("--size", "64x64", "--frames", 9)


@pytest.fixture(autouse=True)
def _fresh_process() -> None:
    """A process trains in one precision; here many runs share one."""
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """A small Wan and its data, whose words need no encoder but its own."""
    made = Workshop(tmp_path_factory.mktemp("shop"))
    publish("wan", made.folder / "base")
    write_clips(made.folder / "clips", 6, seed=9)
    draw_picture(made.folder / "cat.png", (64, 64))
    ran = made.run(
        "prepare", "clips", "-o", "latents", "--codec", "base", *SIZE, "--fps", 16, "--device",
        "cuda", "--workers", 1,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    return made


def trained(shop: Workshop, run: str, *more: object, steps: int = 4) -> Any:
    words = shop.words("-o", run, "--base", "base", *more, steps=steps, base=False)
    words[words.index("--data") + 1] = "latents"
    words[words.index("--device") + 1] = "cuda"
    return shop.run("finetune", *words)


def generated(shop: Workshop, model: str, name: str, *more: object) -> Any:
    ran = shop.run(
        "generate", "cat.png", "-p", "a cat jumps", "--model", model, "--steps", 2, *SIZE,
        "--device", "cuda", "-o", name, *more,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    return read_provenance(shop.folder / name)


@pytest.mark.parametrize(
    ("run", "more"),
    [
        ("full", ()),
        ("half", ("--set", "train.precision=bf16")),
        ("checked", ("--set", "train.gradient_checkpointing=true")),
        ("lora", ("--lora", 2, "--set", "train.precision=bf16")),
        ("int8", ("--lora", 2, "--set", "lora.quantize=int8")),
    ],
)
def test_it_trains_and_makes_a_video(shop: Workshop, run: str, more: tuple[object, ...]) -> None:
    ran = trained(shop, run, *more)
    assert ran.code == 0, ran.err
    record = generated(shop, run, f"{run}.mp4", "--dtype", "bfloat16")
    assert (record.frames, record.machine.device.split(":")[0]) == (9, "cuda")


def test_a_run_goes_on(shop: Workshop) -> None:
    ran = trained(shop, "short", steps=2)
    assert ran.code == 0, ran.err
    ran = shop.run("finetune", "-o", "short", "--resume", "--steps", 4, "--device", "cuda")
    assert ran.code == 0, ran.err


@pytest.mark.parametrize(
    "switch", [("--offload", "model"), ("--offload", "group"), ("--vae-tiling",)], ids=str
)
def test_switches(shop: Workshop, switch: tuple[str, ...]) -> None:
    record = generated(shop, "base", f"{'-'.join(switch).strip('-')}.mp4", *switch)
    assert (record.frames, record.machine.device.split(":")[0]) == (9, "cuda")


def test_a_doctor_tells_of_it(shop: Workshop) -> None:
    ran = shop.run("doctor", "--model", "base")
    assert ran.code == 0, ran.err
    assert torch.cuda.get_device_name() in ran.out
