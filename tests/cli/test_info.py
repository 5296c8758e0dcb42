"""`fbridge info`: what a model is, without reading its weights."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import init_empty_weights
from safetensors.torch import load_file, save_file

from fbridge.backbones.families import FAMILIES
from fbridge.backbones.wan import FAMILY
from fbridge.files.weight_files import find_weight_file, network_folder
from tests.backbones.networks import network
from tests.backbones.original import ORIGINAL
from tests.bases import tiny_base
from tests.pipelines import PUBLISHED, publish


def write_hollow(path: Path, shapes: dict[str, tuple[int, ...]]) -> Path:
    """A bfloat16 file of any size whose weights take no room on the disk."""
    header, place = {}, 0
    for name, shape in shapes.items():
        end = place + 2 * int(torch.tensor(shape).prod())
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [place, end]}
        place = end
    told = json.dumps(header).encode()
    told += b" " * (-len(told) % 8)
    with path.open("wb") as file:
        file.write(len(told).to_bytes(8, "little") + told)
        file.truncate(8 + len(told) + place)
    return path


@pytest.fixture
def fourteen(tmp_path: Path) -> Path:
    """Wan 2.1 14B as its makers publish it: 28 GB, of which none is weights."""
    with init_empty_weights():
        net = FAMILY.load_class().from_config(dict(FAMILY.variants[1].config))
    small = network("wan").state_dict()
    theirs = {id(tensor): name for name, tensor in ORIGINAL["wan"][1](small).items()}
    names = {name: theirs[id(tensor)] for name, tensor in small.items()}
    shapes = {}
    for name, tensor in net.state_dict().items():
        parts = name.split(".")
        block = ".".join(["blocks", "0", *parts[2:]]) if parts[0] == "blocks" else name
        shapes[names[block].replace("blocks.0.", f"blocks.{parts[1] if len(parts) > 1 else 0}.")
               if parts[0] == "blocks" else names[block]] = tuple(tensor.shape)  # fmt: skip
    return write_hollow(tmp_path / "wan2.1_t2v_14B.safetensors", shapes)


def test_a_file_of_28_gigabytes_in_its_makers_names(workshop: Any, fourteen: Path) -> None:
    assert fourteen.stat().st_size > 28e9
    ran = workshop.run("info", fourteen)
    assert ran.code == 0, ran.err
    told = dict(line.split(maxsplit=1) for line in ran.out.splitlines())
    assert told["model"] == "Wan 2.1 14B (and one expert of 2.2's A14B)"
    assert told["tensors"] == "1095 of 14.29 billion numbers (bfloat16)"
    assert told["names"] == "the makers' own"
    assert told["predicts"] == "flow"
    assert told["latents"].startswith("16 channels, sides in multiples of 2; no room yet")
    assert told["video"] == "81 frames (5 to 121 by 4) at 16 fps, 104x60 latent pixels"
    assert told["words"] == "4096 features, 512 tokens at most"
    assert told["lacks"].startswith("vae/config.json, scheduler/scheduler_config.json, text_enc")
    assert "to use it" not in ran.err
    ran = workshop.run("finetune", "--base", fourteen)
    assert ran.code == 4
    assert "fetch them from Wan-AI/Wan2.1-T2V-14B-Diffusers with --download" in ran.err


def test_an_expert_is_named_and_its_advice_runs_as_typed(workshop: Any, tmp_path: Path) -> None:
    pair = publish("wan-a14b", tmp_path / "pair")
    for words in (["info", pair, "--expert", "low"], ["info", pair / "transformer_2"]):
        ran = workshop.run(*words)
        assert ran.code == 0, ran.err
        assert "for little noise, of a pair" in ran.out
        assert "it starts at --strength 0.81 or less" in ran.err
        line = next(text for text in ran.err.splitlines() if "to use it: " in text)
        typed = shlex.split(line.split("to use it: fbridge ")[1])
        typed[typed.index("PICTURE")], typed[typed.index("PROMPT")] = "cat.png", "jump"
        typed += ["--frames", "5", "--size", "32x32", "--steps", "2", "--dry-run"]
        ran = workshop.run(*typed)
        assert ran.code == 0, ran.err
        ran = workshop.run(*typed, "--strength", "0.9")
        assert ran.code == 2, ran.err
        assert "trained on bridge times from 0.000 to 0.814; use --strength 0.81 or less" in ran.err
    ran = workshop.run("info", pair, "--expert", "high")
    assert "cannot end a video alone" in ran.err
    assert "to use it" not in ran.err
    ran = workshop.run("generate", "cat.png", "-p", "jump", "--model", pair, "--expert", "high")
    assert ran.code != 0
    assert "cannot end a video alone" in ran.err


@pytest.mark.parametrize("name", PUBLISHED)
def test_pipelines_and_their_bare_weights(workshop: Any, tmp_path: Path, name: str) -> None:
    base = publish(name, tmp_path / "base")
    whole, bare = (
        json.loads(workshop.run("info", model, "--json").out)
        for model in (base, find_weight_file(network_folder(base)))
    )
    assert (whole["kind"], bare["kind"]) == ("pipeline", "weights")
    for key in ("family", "prediction", "noise", "network", "video", "tokens", "parameters"):
        assert whole[key] == bare[key] != {}, key
    assert (whole["family"], whole["missing"]) == (PUBLISHED[name].family, [])
    assert bare["components"] == str(base)
    published = [family for family in FAMILIES.values() if family.name == whole["family"]]
    assert bool(whole["differences"]) == bool(published[0].variants)
    ran = workshop.run("info", base)
    assert f"to use it: fbridge generate PICTURE -p PROMPT --model {base}" in ran.err


def test_a_lora(workshop: Any, tmp_path: Path) -> None:
    tensors = {
        f"diffusion_model.blocks.{n}.self_attn.q.lora_{side}.weight": torch.ones(shape)
        for n, rank in enumerate((4, 8))
        for side, shape in (("down", (rank, 5120)), ("up", (5120, rank)))
    }
    tensors["diffusion_model.blocks.0.ffn.0.diff_b"] = torch.ones(13824)
    file = tmp_path / "my lightx2v_4steps_high_noise.safetensors"
    save_file(tensors, file, {"modelspec.trigger_phrase": "in the style of ink"})
    ran = workshop.run("info", file)
    assert ran.code == 0, ran.err
    told = dict(line.split("  ", 1) for line in ran.out.splitlines())
    assert {key: value.strip() for key, value in told.items()} == {
        "what": "a LoRA of a network",
        "made for": "Wan 2.1 14B (and one expert of 2.2's A14B)",
        "expert": "for much noise, of a pair",
        "tensors": "5 (float32)",
        "updates": "3, ranks 4 to 8, 1 of them whole",
        "distilled": "to 4 steps, as its name says",
        "words": "in the style of ink",
    }
    assert f"--model MODEL --lora '{file}@high'" in ran.err
    assert json.loads(workshop.run("info", file, "--json").out)["ranks"] == [4, 8]
    ran = workshop.run("info", file, "--expert", "low")
    assert (ran.code, "--expert low: is about a model, and" in ran.err) == (2, True)
    tensors["diffusion_model.blocks.0.self_attn.q.oft_blocks"] = torch.ones(2)
    save_file(tensors, file)
    ran = workshop.run("info", file)
    assert (ran.code, "is OFT (" in ran.err) == (4, True)


def test_advice_is_given_only_where_it_would_work(workshop: Any, tmp_path: Path) -> None:
    base = publish("wan", tmp_path / "base")
    place = tmp_path / "my files"
    place.mkdir()
    held = load_file(base / "transformer/diffusion_pytorch_model.safetensors")
    save_file(held, place / "own.safetensors")
    ran = workshop.run("info", place / "own.safetensors", "--components", base)
    parts = f"--model '{place}/own.safetensors' --components {base}"
    assert f"fbridge generate PICTURE -p PROMPT {parts}" in ran.err
    assert f"fbridge finetune --base {parts.removeprefix('--model ')} --data DIR" in ran.err

    divided = {k: v.to(torch.float8_e4m3fn) if v.ndim == 2 else v for k, v in held.items()}
    divided["blocks.0.attn1.to_q.weight_scale_2"] = torch.ones(1)
    save_file(divided, place / "low.safetensors")
    (base / "text_encoder/model.safetensors").unlink()
    told = {}
    for model in (place / "low.safetensors", base):
        for view in (["info"], ["doctor", "--device", "cpu", "--model"]):
            ran = workshop.run(*view, model, *(["--components", base] if model != base else []))
            assert "to use it" not in ran.err
            told[model, view[0]] = ran
    for command in ("info", "doctor"):
        ran = told[place / "low.safetensors", command]
        assert ran.code == 4
        assert "not read: nvfp4 (blocks.0.attn1.to_q.weight_scale_2)" in ran.err
    assert "text_encoder/*.safetensors" in told[base, "info"].out
    assert "lacks text_encoder/*.safetensors; see fbridge info" in told[base, "doctor"].err


def test_bridges_adapters_and_bases_in_one_file(workshop: Any, tmp_path: Path) -> None:
    file = tiny_base(tmp_path / "base.safetensors")
    told = json.loads(workshop.run("info", file, "--json").out)
    assert (told["kind"], told["family"], told["prediction"]) == ("base", "cogvideox", "v")
    told = json.loads(workshop.run("info", "embedded", "--json").out)
    assert (told["kind"], told["family"], told["prediction"]) == ("bridge", "space-time", "clean")
    assert "an image-to-video bridge" in workshop.run("info", "embedded").out


def test_what_is_no_model(workshop: Any, tmp_path: Path) -> None:
    save_file({"encoder.conv.weight": torch.zeros(3)}, tmp_path / "vae.safetensors")
    ran = workshop.run("info", tmp_path / "vae.safetensors")
    assert ran.code == 4
    assert "is of none of the known families" in ran.err
    assert "has encoder.conv.weight" in ran.err
    ran = workshop.run("info", tmp_path / "none.safetensors")
    assert (ran.code, "there is no such file" in ran.err) == (4, True)
    (tmp_path / "notes.txt").write_text("no weights")
    ran = workshop.run("info", tmp_path / "notes.txt")
    assert (ran.code, "is no file of weights" in ran.err) == (4, True)


def test_a_hub_ids_weights_stay_on_the_hub(
    workshop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = publish("hunyuan", tmp_path / "base")
    local = json.loads(workshop.run("info", base, "--json").out)
    told = json.loads(workshop.run("doctor", "--model", base, "--device", "cpu", "--json",
                                   "--frames", 9, "--size", "64x64").out)["model"]  # fmt: skip
    asked = []

    def snapshot(name: str, *, allow_patterns: list[str], **_: Any) -> str:
        asked.append(name)
        cache = tmp_path / "cache"
        for path in base.rglob("*"):
            wanted = any(path.match(pattern) for pattern in allow_patterns)
            if path.is_file() and wanted:
                (cache / path.relative_to(base)).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, cache / path.relative_to(base))
        return str(cache)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    ran = workshop.run("info", "owner/hunyuan", "--json")
    assert ran.code == 0, ran.err
    remote = json.loads(ran.out)
    assert not list((tmp_path / "cache").rglob("*.safetensors"))
    assert remote["path"] == "owner/hunyuan"
    for key in ("family", "network", "video", "noise", "missing", "parameters", "tensors"):
        assert remote[key] == local[key], key
    ran = workshop.run("doctor", "--model", "owner/hunyuan", "--device", "cpu", "--json",
                       "--frames", 9, "--size", "64x64")  # fmt: skip
    assert ran.code == 0, ran.err
    away = json.loads(ran.out)["model"]
    assert not list((tmp_path / "cache").rglob("*.safetensors"))
    for one, two in zip(told["generate"], away["generate"], strict=True):
        assert one["parts"] == two["parts"]
    assert set(asked) == {"owner/hunyuan"}
