"""Each form of file that people have of Wan: loaded, generated from and fine-tuned, with its error.

    python benchmarks/file_forms.py [--forms NAME,...]

A small random network of Wan is written in each form. For those that are read it prints the largest
relative error of a tensor and the relative error of the network's answer, against the float32
original, and whether a video was made of the file and two steps of LoRA were trained on it (`yes`),
by `fbridge generate` and `fbridge finetune`; for the others what is refused. GGUF needs gguf.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import tempfile
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import diffusers
import torch
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from torch import Tensor
from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

from fbridge.data.shapes import write_clips
from fbridge.errors import FBridgeError
from fbridge.loaders.load import load_pretrained
from fbridge_cli import main as cli

Weights = dict[str, Tensor]
F8, F8_WIDE = torch.float8_e4m3fn, torch.float8_e5m2
_LARGEST = {F8: 448.0, F8_WIDE: 57344.0, torch.int8: 127.0}
_COMFY = "model.diffusion_model."
_MAKERS = {
    r"\.attn1\.": ".self_attn.",
    r"\.attn2\.": ".cross_attn.",
    r"attn\.to_([qkv])\.": r"attn.\1.",
    r"\.to_out\.0\.": ".o.",
    r"\.ffn\.net\.0\.proj\.": ".ffn.0.",
    r"\.ffn\.net\.2\.": ".ffn.2.",
    r"\.norm2\.": ".norm3.",
    r"(blocks\.\d+)\.scale_shift_table$": r"\1.modulation",
    r"^condition_embedder\.(time|text)_embedder\.linear_1\.": r"\1_embedding.0.",
    r"^condition_embedder\.(time|text)_embedder\.linear_2\.": r"\1_embedding.2.",
    r"^condition_embedder\.time_proj\.": "time_projection.1.",
    r"^proj_out\.": "head.head.",
    r"^scale_shift_table$": "head.modulation",
}


def makers_names(held: Mapping[str, Tensor], prefix: str = "") -> Weights:
    """Under the names of Wan's own code."""
    done = {}
    for name, tensor in held.items():
        for pattern, put in _MAKERS.items():
            name = re.sub(pattern, put, name)
        done[prefix + name] = tensor
    return done


def cast(held: Weights, kind: torch.dtype, *, every: bool = False) -> Weights:
    """The blocks' matrices, or all, in a type, and the rest in float16."""
    return {
        name: tensor.to(kind) if _is_block(name, tensor, every=every) else tensor.half()
        for name, tensor in held.items()
    }


def scaled(
    held: Weights,
    kind: torch.dtype = F8,
    scale: str = "scale_weight",
    *,
    rows: bool = False,
    form: Mapping[str, Any] | None = None,
    beside: Mapping[str, Tensor] | None = None,
) -> Weights:
    """The blocks' matrices divided by scales: of each matrix or row, under a name."""
    done: Weights = {}
    for name, tensor in held.items():
        if not _is_block(name, tensor):
            done[name] = tensor.half()
            continue
        home = name.removesuffix("weight")
        by = (tensor.abs().amax(1, keepdim=True) if rows else tensor.abs().max()) / _LARGEST[kind]
        stored = tensor / by
        done[name] = (stored.round() if kind == torch.int8 else stored).to(kind)
        done[home + scale] = by
        if form is not None:
            text = json.dumps(form).encode()
            done[f"{home}comfy_quant"] = torch.tensor(list(text), dtype=torch.uint8)
        done |= {home + part: value.clone() for part, value in (beside or {}).items()}
    return done


def widened(held: Weights, channels: int) -> Weights:
    """With further channels of the input, as image-to-video and control models have them."""
    first = held["patch_embedding.weight"]
    more = torch.zeros(len(first), channels - first.shape[1], *first.shape[2:])
    return {**held, "patch_embedding.weight": torch.cat([first, more], 1)}


def _is_block(name: str, tensor: Tensor, *, every: bool = False) -> bool:
    return tensor.ndim > 1 and (every or (tensor.ndim == 2 and "blocks." in name))


def write_forms(own: Weights, folder: Path) -> dict[str, Path]:
    """A file of each form."""
    makers, mark = makers_names(own), {"scaled_fp8": torch.zeros(0, dtype=F8)}
    eight = {"format": "float8_e4m3fn"}
    layers = [
        name.removesuffix(".weight") for name, held in makers.items() if _is_block(name, held)
    ]
    stated = json.dumps({"layers": dict.fromkeys(layers, eight)})
    rotated = {"format": "int8_tensorwise", "convrot": True}
    new, one = "weight_scale", torch.ones(())
    vace = {"vace_patch_embedding.weight": torch.zeros(2, 96, 1, 2, 2)}
    forms: dict[str, tuple[Weights, dict[str, str]]] = {
        "diffusers' names, float32": (own, {}),
        "makers' names, bfloat16": ({k: v.bfloat16() for k, v in makers.items()}, {}),
        "ComfyUI's prefix, float16": ({_COMFY + k: v.half() for k, v in makers.items()}, {}),
        "prefix model.model., float16": (
            {f"model.model.{k}": v.half() for k, v in own.items()}, {},
        ),
        "float8 cast, blocks": (cast(makers, F8), {}),
        "float8 cast, all": (cast(makers, F8, every=True), {}),
        "scaled float8 (scale_weight, mark)": ({**scaled(makers), **mark}, {}),
        "scaled float8 (and scale_input)": (scaled(makers, beside={"scale_input": one}), {}),
        "scaled float8 (comfy_quant)": (scaled(makers, scale=new, form=eight), {}),
        "scaled float8 (metadata)": (scaled(makers, scale=new), {"_quantization_metadata": stated}),
        "scaled float8, a scale a row": (scaled(makers, scale=new, rows=True), {}),
        "scaled float8 e5m2": (scaled(makers, F8_WIDE), {}),
        "int8, a scale a row (comfy_quant)": (
            scaled(makers, torch.int8, new, rows=True, form={"format": "int8_tensorwise"}), {},
        ),
        "nvfp4": (scaled(makers, scale=new, beside={"weight_scale_2": one}), {}),
        "int8 ConvRot": (scaled(makers, torch.int8, new, rows=True, form=rotated), {}),
        "Wan 2.2 image-to-video (36 channels)": (widened(makers, 36), {}),
        "Wan Fun control (48 channels)": (widened(makers, 48), {}),
        "VACE": ({**makers, **vace}, {}),
    }  # fmt: skip
    files = {}
    for number, (name, (held, metadata)) in enumerate(forms.items()):
        files[name] = folder / f"wan-{number}.safetensors"
        save_file({k: v.contiguous() for k, v in held.items()}, files[name], metadata)
    files["generator_ema in a .pt"] = folder / "generator.pt"
    held = {f"model.{name}": tensor for name, tensor in makers.items()}
    torch.save({"generator_ema": held}, files["generator_ema in a .pt"])
    return files | write_gguf(makers, folder)


def write_gguf(held: Weights, folder: Path) -> dict[str, Path]:
    """As city96's converter writes it; {} without gguf."""
    try:
        import gguf
    except ImportError:
        return {}
    files = {}
    for kind in ("Q8_0", "Q5_0", "BF16"):
        files[f"GGUF {kind}"] = path = folder / f"wan-{kind}.gguf"
        writer = gguf.GGUFWriter(path, "wan")
        for name, tensor in held.items():
            few = gguf.GGMLQuantizationType[kind if _is_block(name, tensor) else "F32"]
            rows = tensor.float().reshape(len(tensor), -1) if tensor.ndim > 4 else tensor.float()
            writer.add_tensor(name, gguf.quants.quantize(rows.numpy(), few), raw_dtype=few)
            if tensor.ndim > 4:
                writer.add_array(f"comfy.gguf.orig_shape.{name}", list(tensor.shape))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return files


def small_pipeline() -> Any:
    """Wan with few and small layers, and random weights."""
    torch.manual_seed(11)
    words = ["<pad>", "</s>", "<unk>", "a", "cat", "jumps"]
    vocabulary = Tokenizer(WordLevel({word: n for n, word in enumerate(words)}, "<unk>"))
    vocabulary.pre_tokenizer = Whitespace()
    end = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    vocabulary.post_processor = end
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=vocabulary, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    sizes = {"vocab_size": len(words), "d_model": 16, "d_kv": 8, "d_ff": 16}
    encoder = UMT5EncoderModel(UMT5Config(**sizes, num_layers=1, num_heads=2))
    vae = diffusers.AutoencoderKLWan(base_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1)
    network = diffusers.WanTransformer3DModel(
        num_attention_heads=2, attention_head_dim=32, in_channels=16, out_channels=16,
        text_dim=16, freq_dim=32, ffn_dim=128, num_layers=2,
    )  # fmt: skip
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, 0, 0.1)
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    return diffusers.WanPipeline(tokenizer, encoder.eval(), vae, scheduler, network.eval())


def run(*words: object) -> str:
    """The word yes, or the last line of what `fbridge` said."""
    told = io.StringIO()
    with redirect_stdout(io.StringIO()), redirect_stderr(told):
        code = cli.run([str(word) for word in words])
    return "yes" if code == 0 else told.getvalue().strip().rpartition("\n")[2]


@torch.no_grad()
def errors(network: Any, exact: Any) -> tuple[float, float]:
    """The largest relative error of a tensor, and that of an answer."""
    near, wanted = network.state_dict(), exact.state_dict()
    worst = max(float((near[k] - wanted[k]).norm() / wanted[k].norm()) for k in wanted)
    noise = torch.Generator().manual_seed(0)
    shapes = ((1, 16, 3, 8, 8), (1, 512, 16))
    video, prompt = (torch.randn(shape, generator=noise) for shape in shapes)
    time = torch.tensor([500.0])
    found, right = (n(video, time, prompt, return_dict=False)[0] for n in (network, exact))
    return worst, float((found - right).norm() / right.norm())


def main() -> None:
    """Print a table of all forms."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--forms", default="", help="parts of names of forms, with commas")
    chosen = [part for part in parser.parse_args().forms.split(",") if part]
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        pipeline = small_pipeline()
        pipeline.save_pretrained(home / "base")
        files = write_forms(pipeline.transformer.state_dict(), home)
        Image.new("RGB", (64, 64), (200, 120, 40)).save(home / "cat.png")
        write_clips(home / "clips", 6, seed=9)
        usual = ("--size", "64x64", "--frames", 9, "--device", "cpu")
        data = ("prepare", home / "clips", "-o", home / "latents", "--codec", home / "base")
        assert run(*data, *usual, "--fps", 16, "--workers", 1) == "yes"
        print("| form | worst tensor | answer | generate | finetune |\n|---|---|---|---|---|")
        for name, file in files.items():
            if not chosen or any(part in name for part in chosen):
                print(row(name, file, home, usual, pipeline.transformer), flush=True)


def row(name: str, file: Path, home: Path, usual: tuple[object, ...], exact: Any) -> str:
    """A line of the table."""
    parts = ("--components", home / "base")
    try:
        base = load_pretrained(str(file), components=str(home / "base"))
    except FBridgeError as error:
        return f"| {name} | refused: {str(error).removeprefix(f'{file}: ')} | | | |"
    worst, answer = errors(base.transformer, exact)
    video = ("generate", home / "cat.png", "-p", "a cat", "--model", file, *parts, *usual)
    made = run(*video, "--steps", 2, "-o", file.with_suffix(".mp4"))
    short = {"train.workers": 0, "validation.clips": 1, "validation.steps": 1, "log.trackers": "[]"}
    options = [word for key, value in short.items() for word in ("--set", f"{key}={value}")]
    train = ("finetune", "--base", file, *parts, "--data", home / "latents", "--steps", 2)
    trained = run(*train, "--batch-size", 2, "--lora", 4, "--device", "cpu", *options,
                  "-o", file.with_suffix(".run"))  # fmt: skip
    return f"| {name} | {worst:.4f} | {answer:.4f} | {made} | {trained} |"


if __name__ == "__main__":
    main()
