"""LoRAs of a base: each form merged to the truth, and each name that is not known an error."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fbridge.backbones.families import family_of
from fbridge.errors import CheckpointError, ConfigError
from fbridge.files.hashing import hash_files
from fbridge.files.lora_record import LoraRecord
from fbridge.loaders.inspect_lora import inspect_lora, is_lora
from fbridge.loaders.lora_choice import LoraChoice, parse_lora, recorded_choices
from fbridge.loaders.lora_file import distilled_steps, read_lora
from fbridge.loaders.lora_merge import MergedLora, merge_loras
from tests.backbones.original import comfy_hunyuan
from tests.loaders.loras import (
    ALPHA,
    RANK,
    Weights,
    added,
    back,
    held,
    kohya,
    lycoris,
    network,
    original,
    pairs,
    peft,
    save,
    worst,
)
from tests.pipelines import PUBLISHED

EXACT = 1e-6


def merge(net: Any, path: Path, weight: float | None = None) -> MergedLora:
    (done,) = merge_loras(net, [LoraChoice(path, weight)])
    return done


def attention(weights: Weights, *, words: str = "attn") -> Weights:
    return {name: tensor for name, tensor in weights.items() if words in name}


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("form", ["diffusers", "kohya"])
def test_a_lora_under_diffusers_names(name: str, form: str, tmp_path: Path) -> None:
    net = network(name)
    before, changes = held(net), pairs(held(net))
    prefix = f"{family_of(net).pipeline_part}."
    file = peft(changes, prefix) if form == "diffusers" else kohya(changes)
    done = merge(net, save(tmp_path / "style.safetensors", file), 0.5)
    scale = 0.5 * (1 if form == "diffusers" else ALPHA / RANK)
    assert worst(held(net), added(before, changes, scale)) < EXACT
    assert (done.tensors, done.changed) == (len(file), len(changes))


@pytest.mark.parametrize("name", ["cogvideox", "cogvideox-1.5", "wan", "ltx", "hunyuan"])
@pytest.mark.parametrize("form", ["diffusion_model.", "kohya", "diffsynth"])
def test_a_lora_under_the_makers_names(name: str, form: str, tmp_path: Path) -> None:
    if form == "kohya" and name.startswith("cogvideox"):
        pytest.skip("no program writes kohya's files of SAT's names")
    net = network(name)
    theirs = original(name, held(net))
    changes = pairs(theirs)
    file = (
        kohya(changes)
        if form == "kohya"
        else peft(changes, "", ".default") if form == "diffsynth"
        else peft(changes, form)
    )  # fmt: skip
    done = merge(net, save(tmp_path / "style.safetensors", file))
    scale = ALPHA / RANK if form == "kohya" else 1
    assert worst(held(net), back(family_of(net), added(theirs, changes, scale))) < EXACT
    assert done.tensors == len(file)
    assert done.steps is None


@pytest.mark.parametrize("name", ["wan", "hunyuan"])
def test_whole_differences_of_weights_and_biases(name: str, tmp_path: Path) -> None:
    net = network(name)
    theirs = original(name, held(net))
    torch.manual_seed(7)
    moved = {key: 0.1 * torch.randn_like(tensor) for key, tensor in theirs.items()}
    ends = {"weight": "diff", "bias": "diff_b", "modulation": "diff_m"}
    file = {}
    for key, tensor in moved.items():
        layer, _, kind = key.rpartition(".")
        end = "modulation.diff" if layer == "head" and kind == "modulation" else ends[kind]
        file[f"diffusion_model.{layer}.{end}"] = tensor
    done = merge(net, save(tmp_path / "few.safetensors", file), -2.0)
    truth = back(family_of(net), {k: t.double() - 2 * moved[k] for k, t in theirs.items()})
    assert worst(held(net), truth) < EXACT
    assert done.changed == len(truth)
    assert done.whole
    assert "--steps 4 --guidance 1" in done.note


def test_a_lora_of_hunyuan_under_comfyuis_names(tmp_path: Path) -> None:
    net = network("hunyuan")
    theirs = original("hunyuan", held(net))
    changes = pairs(theirs)
    file = peft({comfy_hunyuan(layer): pair for layer, pair in changes.items()}, "diffusion_model.")
    merge(net, save(tmp_path / "extracted.safetensors", file))
    assert worst(held(net), back(family_of(net), added(theirs, changes, 1))) < EXACT


@pytest.mark.parametrize("prefix", ["lora_unet__", "lycoris_", "lora_transformer_"])
def test_names_whose_dots_became_underscores(prefix: str, tmp_path: Path) -> None:
    """Wan Fun's trainer puts two underscores before the first layer; LyCORIS has its own prefix."""
    for name in ("wan", "cogvideox"):
        net = network(name)
        before = held(net)
        changes = pairs(attention(before))
        file = {key.replace("lora_unet_", prefix): t for key, t in kohya(changes).items()}
        merge(net, save(tmp_path / "fun.safetensors", file))
        assert worst(held(net), added(before, changes, ALPHA / RANK)) < EXACT


@pytest.mark.parametrize("form", ["loha", "lokr 2", "lokr 1 2", "lokr"])
@pytest.mark.parametrize(
    ("name", "prefix"), [("wan", "lycoris_"), ("hunyuan", "lora_unet_"), ("ltx", "transformer.")]
)
def test_products_of_lycoris(name: str, prefix: str, form: str, tmp_path: Path) -> None:
    net = network(name)
    theirs = original(name, held(net)) if name == "hunyuan" else held(net)  # of fused layers
    file, truth = lycoris(theirs, form, prefix)
    path = save(tmp_path / "style.safetensors", file)
    done = merge(net, path)
    assert done.tensors == len(file)
    assert not done.whole
    wanted = back(family_of(net), truth) if name == "hunyuan" else truth
    assert worst(held(net), wanted) < EXACT
    told = inspect_lora(path)
    assert is_lora(path)
    assert told.ranks == ((0, 0) if form == "lokr" else (RANK, RANK))
    assert told.whole == 0


def test_peft_settings_decide_the_scale(tmp_path: Path) -> None:
    net = network("wan")
    before = held(net)
    changes = pairs(attention(before, words="attn1.to_"))
    settings = {
        "lora_alpha": 6,
        "r": RANK,
        "alpha_pattern": {"to_q": 10, r"blocks.1.attn1.to_k": 1},
    }
    text = json.dumps({f"transformer.{key}": value for key, value in settings.items()})
    path = save(
        tmp_path / "a.safetensors", peft(changes, "transformer."), {"lora_adapter_metadata": text}
    )
    merge(net, path)
    truth = added(before, {k: v for k, v in changes.items() if k.endswith("q")}, 10 / RANK)
    plain = {k: v for k, v in changes.items() if not k.endswith("q") and k != "blocks.1.attn1.to_k"}
    truth = added(
        added(truth, plain, 6 / RANK),
        {"blocks.1.attn1.to_k": changes["blocks.1.attn1.to_k"]},
        1 / RANK,
    )
    assert worst(held(net), truth) < EXACT


def test_a_folder_of_peft_with_rslora(tmp_path: Path) -> None:
    net = network("wan")
    before, changes = held(net), pairs(attention(held(net)))
    file = peft(changes, "base_model.model.")
    path = save(tmp_path / "adapter_model.safetensors", file)
    with pytest.raises(CheckpointError, match=r"adapter_config\.json"):
        merge(net, path)
    settings = {"lora_alpha": 6, "r": RANK, "use_rslora": True}
    (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
    merge(net, parse_lora(str(tmp_path)).file)
    assert worst(held(net), added(before, changes, 6 / RANK**0.5)) < EXACT


@pytest.mark.parametrize("form", ["lora_magnitude_vector.weight", "dora_scale"])
def test_dora_sets_the_norms_of_rows(form: str, tmp_path: Path) -> None:
    net = network("hunyuan")  # under the makers' names, whose fused layers are split
    theirs = original("hunyuan", held(net))
    changes = pairs(attention(theirs, words="attn_qkv"))
    file, truth = peft(changes, "diffusion_model."), added(theirs, changes, 1)
    for layer in changes:
        size = 1 + torch.rand(len(theirs[f"{layer}.weight"]))
        file[f"diffusion_model.{layer}.{form}"] = size[:, None] if form == "dora_scale" else size
        rows = truth[f"{layer}.weight"]
        new = size.double()[:, None] * rows / rows.norm(dim=1, keepdim=True)
        truth[f"{layer}.weight"] = theirs[f"{layer}.weight"] + 0.5 * (
            new - theirs[f"{layer}.weight"]
        )
    merge(net, save(tmp_path / "dora.safetensors", file), 0.5)
    assert worst(held(net), back(family_of(net), truth)) < EXACT


def test_old_diffusers_names_of_processors(tmp_path: Path) -> None:
    net = network("animatediff")
    before = held(net)
    changes = pairs(attention(before, words="motion_modules.0.transformer_blocks.0.attn1.to_"))
    file = {}
    for layer, (down, up) in changes.items():
        home, _, part = layer.removesuffix(".0").rpartition(".")
        file[f"unet.{home}.processor.{part}_lora.down.weight"] = down
        file[f"unet.{home}.processor.{part}_lora.up.weight"] = up
    merge(net, save(tmp_path / "zoom.safetensors", file))
    assert len(changes) >= 4
    assert worst(held(net), added(before, changes, 1)) < EXACT


def test_several_are_summed_before_the_one_cast(tmp_path: Path) -> None:
    net = network("wan")
    before, changes = held(net), pairs(held(net))
    net.to(torch.bfloat16)
    path = save(tmp_path / "a.safetensors", peft(changes, "transformer."))
    merge_loras(net, [LoraChoice(path, 0.5), LoraChoice(path, 0.25)], stored=before.get)
    truth = added(before, changes, 0.75)
    for name, tensor in held(net).items():
        assert torch.allclose(tensor.double(), truth[name], rtol=2**-8, atol=1e-6), name


def test_an_input_that_has_room_for_the_prior_keeps_it(tmp_path: Path) -> None:
    net = network("wan")
    changes = pairs(attention(held(net), words="patch_embedding"))
    path = save(tmp_path / "a.safetensors", peft(changes, "transformer."))
    wide = network("wan")
    family_of(wide).expand_inputs(wide, 1)
    merge(net, path)
    merge(wide, path)
    narrow, both = net.patch_embedding.weight, wide.patch_embedding.weight
    assert torch.equal(both[:, :16], narrow)
    assert not both[:, 16:].any()


def test_kernels_written_as_matrices(tmp_path: Path) -> None:
    net = network("animatediff")
    before = held(net)
    changes = pairs({name: t for name, t in before.items() if t.ndim == 4})
    flat = {
        layer: (down.flatten(1), up if layer == "conv_in" else up.flatten(1))
        for layer, (down, up) in changes.items()
    }
    merge(net, save(tmp_path / "flat.safetensors", peft(flat, "unet.")))
    assert worst(held(net), added(before, changes, 1)) < EXACT


def broken(tmp_path: Path, name: str, weights: Weights) -> Path:
    return save(tmp_path / f"{name}.safetensors", weights)


def test_what_is_not_understood_changes_nothing(tmp_path: Path) -> None:
    net = network("wan")
    before, changes = held(net), pairs(attention(held(net)))
    good = peft(changes, "transformer.")
    one = next(iter(changes))
    wide = (torch.ones(RANK, 5), torch.ones(len(before[f"{one}.weight"]), RANK))
    hunyuan = peft(pairs(original("hunyuan", held(network("hunyuan")))), "diffusion_model.")
    far, named = {"blocks.7.attn1.to_q": changes[one]}, "transformer."
    cases: dict[str, tuple[Weights, str]] = {
        "strange": (good | {"transformer.x.bits": torch.ones(1)}, "1 of its .* as transformer.x.b"),
        "half": ({k: v for k, v in good.items() if "to_q.lora_B" not in k}, "holds down alone"),
        "layer": (
            good | peft(far, named),
            "have another shape, such as transformer.blocks.7.attn1",
        ),
        "size": (good | peft({one: wide}, named), "have another shape, such as"),
        "words": (good | peft({"text_encoder.q": changes[one]}, ""), "of a text encoder"),
        "picture": (
            peft({"blocks.0.cross_attn.k_img": changes[one]}, "diffusion_model."),
            "image-to-video model",
        ),
        "family": (hunyuan, "layers of the hunyuan family.*is of the wan family"),
        "oft": ({"lora_unet_blocks_0_ffn_0.oft_blocks": torch.ones(2, 2)}, "is OFT"),
        "core": (
            {f"lora_unet_blocks_0_ffn_0.hada_{part}": torch.ones(2, 2) for part in ("t1", "w1_a")},
            "is a LoHa with core tensors",
        ),
        "loha": ({f"{named}{one}.hada_w1_a": torch.ones(2, 2)}, "holds hada_w1_a alone"),
        "lokr": (
            {f"{named}{one}.lokr_w{n}": torch.ones(2, 2) for n in ("1", "2", "2_a", "2_b")},
            "holds lokr_w1, lokr_w2, lokr_w2_a, lokr_w2_b alone",
        ),
        "ranks": (
            {f"{named}{one}.lokr_w{n}": torch.ones(2, 3) for n in ("1", "2_a", "2_b")},
            r"matrices of \(2, 3\) and \(2, 3\) and \(2, 3\)",
        ),
        "of peft": (
            {f"base_model.model.{one}.lokr_w{n}": torch.ones(2, 2) for n in "12"},
            "is peft's LoHa or LoKr",
        ),
        "control": (
            good | {"transformer.patch_embedding.reshape_weight": torch.ones(5)},
            "control",
        ),
        "twice": (good | peft({one: changes[one]}, named, ".two"), "for two adapters"),
        "dora": (good | {f"{named}{one}.dora_scale": torch.ones(1, 3)}, "is a DoRA whose"),
        "model": (before, "is no LoRA"),
        "nan": (
            good | {f"{named}{one}.lora_A.weight": changes[one][0] * torch.nan},
            f"{one}.lora_A.weight holds NaN or infinity",
        ),
    }
    for name, (weights, words) in cases.items():
        with pytest.raises(CheckpointError, match=words):
            merge_loras(
                net,
                [LoraChoice(broken(tmp_path, "good", good)),
                 LoraChoice(broken(tmp_path, name, weights))],
            )  # fmt: skip
        assert worst(held(net), before) == 0, name


def test_a_lora_of_a_published_size_is_told(tmp_path: Path) -> None:
    file = {}
    for part in "qkv":
        file[f"blocks.0.self_attn.{part}.lora_A.default.weight"] = torch.zeros(1, 5120)
        file[f"blocks.0.self_attn.{part}.lora_B.default.weight"] = torch.zeros(5120, 1)
    path = save(tmp_path / "big.safetensors", file)
    with pytest.raises(CheckpointError, match=r"is a LoRA of Wan 2\.1 14B .*5120x5120"):
        merge(network("wan"), path)


def test_weights_that_cannot_be_changed_any_more(tmp_path: Path) -> None:
    net = network("wan")
    path = save(tmp_path / "a.safetensors", peft(pairs(held(net)), "transformer."))
    cast = network("wan").to(torch.float8_e4m3fn)
    with pytest.raises(ConfigError, match="quantised or cast already; merge LoRAs first"):
        merge(cast, path)
    net.enable_group_offload(
        torch.device("cpu"), offload_type="leaf_level", offload_device=torch.device("cpu")
    )
    with pytest.raises(ConfigError, match="offloaded or cast already"):
        merge(net, path)


def test_a_file_and_its_weight(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save(path, {"x": torch.ones(1)})
    assert parse_lora(str(path)) == LoraChoice(path)
    assert parse_lora(f"{path}:0.8") == LoraChoice(path, 0.8)
    (tmp_path / "b:2").write_bytes(b"")
    assert parse_lora(str(tmp_path / "b:2")) == LoraChoice(tmp_path / "b:2")
    assert parse_lora(f"{path}:0.8@low") == LoraChoice(path, 0.8, "low")
    assert parse_lora(f"{path}@high") == LoraChoice(path, None, "high")
    (tmp_path / "c@low").write_bytes(b"")
    assert parse_lora(str(tmp_path / "c@low")) == LoraChoice(tmp_path / "c@low")
    for text in (f"{path}:0", f"{path}:nan", f"{path}:inf"):
        with pytest.raises(ConfigError, match="has no use"):
            parse_lora(text)
    with pytest.raises(CheckpointError, match="no such LoRA file; write FILE or FILE:WEIGHT"):
        parse_lora(f"{path}x:1")
    (tmp_path / "adapter.json").write_text("{}")
    with pytest.raises(ConfigError, match="is a bridge of fbridge finetune"):
        parse_lora(str(path))


def test_one_place_stands_for_a_file_in_both_networks(tmp_path: Path) -> None:
    path = save(tmp_path / "here.safetensors", {"x": torch.ones(1)})
    record = LoraRecord("a.safetensors", hash_files([path]), 0.5, "/gone/a.safetensors", "high")
    records = [record.tree(), replace(record, network="low").tree()]
    wanted, further = recorded_choices(records, [LoraChoice(path)], "video v")
    told = [(one.file, one.weight, one.network) for one in wanted]
    assert told == [(path, 0.5, "high"), (path, 0.5, "low")]
    assert further == []
    assert "network" not in replace(record, network="").tree()


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("Wan21_T2V_14B_lightx2v_cfg_step_distill_lora_rank32", 4),
        ("Wan2.2-Lightning_T2V-v1.1-A14B-4steps-lora_HIGH_fp16", 4),
        ("Wan21_CausVid_14B_T2V_lora_rank32", 4),
        ("something-8step", 8),
        ("AnimateLCM_sd15_t2v_lora", 4),
        ("pytorch_lora_weights", None),
        ("cat_lora_2000steps", None),
        ("lightning_in_the_sky", None),
        ("turbocharger", None),
    ],
)
def test_distilled_ones_by_their_names(name: str, steps: int | None) -> None:
    assert distilled_steps(name) == steps


def test_titles_are_names_too(tmp_path: Path) -> None:
    tensors = peft({"blocks.0.attn1.to_q": (torch.ones(1, 2), torch.ones(2, 1))}, "")
    path = save(tmp_path / "a.safetensors", tensors, {"modelspec.title": "CausVid v2"})
    assert read_lora(path).steps == 4
