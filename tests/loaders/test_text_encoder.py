"""The packaged text encoder: real embeddings, paraphrases near; and others from folders."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub.utils import filter_repo_objects  # type: ignore[attr-defined]
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5Model

from fbridge.conditioning.text import TextEncoder, working_device
from fbridge.errors import CheckpointError
from fbridge.loaders.text_encoder import MINILM, load_text_encoder
from tests.nine_words import VOCABULARY, save_tokenizer


def pooled(prompt: str) -> torch.Tensor:
    text, mask = load_text_encoder()([prompt])
    mean = (text * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    return torch.nn.functional.normalize(mean, dim=-1)[0]


def loaded(folder: Path | str, **options: Any) -> TextEncoder:
    encoder = load_text_encoder(str(folder), **options)
    assert isinstance(encoder, TextEncoder)
    return encoder


def test_paraphrases_lie_near_each_other() -> None:
    hop, leap, car = pooled("a cat jumps"), pooled("the kitten is leaping"), pooled("a red car")
    assert hop @ leap > 0.5 > hop @ car


def test_a_prompt_has_the_same_tokens_in_any_batch() -> None:
    encode = load_text_encoder()
    together, mask = encode(["a cat", "a very much longer prompt about a dog", ""])
    encode._seen.clear()
    alone, alone_mask = encode(["a cat"])
    length = int(alone_mask.sum())
    assert int(mask[0].sum()) == length
    assert torch.allclose(together[0, :length], alone[0], atol=1e-5)
    assert int(mask[2].sum()) == 2


def test_only_the_packaged_encoder_is_shared(tmp_path: Path) -> None:
    """Where one model is moved or offloaded, another's encoder stays where it is."""
    name = str(save_pipeline(tmp_path))
    assert loaded(name).model is not loaded(name).model
    assert load_text_encoder() is load_text_encoder()
    assert load_text_encoder(own=True) is not load_text_encoder()
    assert load_text_encoder(max_tokens=9) is not load_text_encoder()


def test_an_unknown_encoder_is_named() -> None:
    with pytest.raises(CheckpointError, match="no-such-encoder"):
        load_text_encoder("no-such-encoder")


def save_pipeline(folder: Path, *, longest: int = 6) -> Path:
    """A pipeline's folder with a small random T5, saved whole, and a CLIP beside it."""
    torch.manual_seed(4)
    sizes = {"vocab_size": len(VOCABULARY), "d_model": 16, "d_kv": 8, "d_ff": 16, "num_heads": 2}
    T5Model(T5Config(num_layers=1, **sizes)).save_pretrained(folder / "text_encoder")
    save_tokenizer(folder / "tokenizer", longest=longest)
    clip = CLIPTextConfig(
        vocab_size=len(VOCABULARY), hidden_size=8, intermediate_size=8, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=5, eos_token_id=1,
    )  # fmt: skip
    CLIPTextModel(clip).save_pretrained(folder / "text_encoder_2")
    save_tokenizer(folder / "tokenizer_2", longest=10**30)
    return folder


def test_the_encoder_half_of_a_pipelines_t5(tmp_path: Path) -> None:
    encode = loaded(save_pipeline(tmp_path))
    assert type(encode.model).__name__ == "T5EncoderModel"
    assert (encode.name, encode.max_tokens) == (str(tmp_path), 6)
    text, mask = encode(["a cat jumps", "", "a cat jumps over the dog a cat"])
    assert text.shape == (3, 6, 16)
    assert mask.sum(1).tolist() == [4, 1, 6]
    whole = T5Model.from_pretrained(tmp_path / "text_encoder").eval()
    with torch.no_grad():
        expected = whole.encoder(torch.tensor([[3, 4, 5, 1]])).last_hidden_state
    torch.testing.assert_close(text[:1, :4], expected, rtol=1e-4, atol=1e-5)


def test_the_same_from_a_folder_that_holds_both(tmp_path: Path) -> None:
    save_pipeline(tmp_path)
    flat = tmp_path / "flat"
    shutil.copytree(tmp_path / "text_encoder", flat)
    shutil.copytree(tmp_path / "tokenizer", flat, dirs_exist_ok=True)
    one, two = load_text_encoder(str(tmp_path)), load_text_encoder(str(flat))
    assert torch.equal(one(["the dog"])[0], two(["the dog"])[0])


def test_another_encoder_of_a_pipeline(tmp_path: Path) -> None:
    encode = loaded(save_pipeline(tmp_path), subfolder="text_encoder_2")
    assert type(encode.model).__name__ == "CLIPTextModel"
    assert encode.max_tokens == 5  # its positions; the tokenizer knows no limit
    assert encode(["a cat jumps over the dog"])[0].shape == (1, 5, 8)
    with pytest.raises(CheckpointError, match="none in text_encoder_3/"):
        load_text_encoder(str(tmp_path), subfolder="text_encoder_3")


def test_prompts_that_are_cut_are_told(tmp_path: Path) -> None:
    name = str(save_pipeline(tmp_path))
    prompts = ["a cat jumps over the", "a cat jumps over the dog", ""]
    encode = load_text_encoder(name)
    assert encode.unread(prompts) == ["", "dog", ""]
    assert encode.describe_unread(prompts) == (
        "the text encoder reads 6 tokens, and the prompt 'a cat jumps over the dog' has more; "
        "not read is its end: 'dog'"
    )
    told = encode.describe_unread([f"{prompts[0]} Ünknown {'dog ' * 99}", prompts[1]])
    assert "prompt 'a cat jumps over the Ünknown dog dog ...' and 1 more have more" in told
    assert "its end: 'Ünknown dog dog" in told
    assert len(told) < 400
    longer = load_text_encoder(name, max_tokens=7)
    assert longer.unread(prompts) == ["", "", ""]
    assert longer.describe_unread(prompts) == ""
    assert int(longer(prompts)[1].sum(1).max()) == 7
    assert longer.unread([]) == []
    minilm = load_text_encoder()
    assert minilm.unread(["cat " * 126, "cat " * 126 + "dog"]) == ["", "dog"]


def test_precision_of_the_network_is_not_that_of_the_embeddings(tmp_path: Path) -> None:
    name = str(save_pipeline(tmp_path))
    whole = load_text_encoder(name)(["a cat"])[0]
    encode = loaded(name, dtype=torch.bfloat16, device="cpu")
    assert encode.model.dtype == torch.bfloat16
    text = encode(["a cat"])[0]
    assert text.dtype == torch.float32
    assert 0 < (text - whole).abs().max() < 0.1


def test_the_hash_is_of_weights_and_vocabulary(tmp_path: Path) -> None:
    one = load_text_encoder(str(save_pipeline(tmp_path / "a"))).hash
    assert load_text_encoder(str(save_pipeline(tmp_path / "b"))).hash == one
    assert load_text_encoder(str(save_pipeline(tmp_path / "c", longest=7))).hash != one
    weights = tmp_path / "b/text_encoder/model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert load_text_encoder(str(tmp_path / "b")).hash != one
    minilm = load_text_encoder()
    assert (minilm.name, minilm.max_tokens, len(minilm.hash)) == (MINILM, 128, 64)
    assert minilm.hash != one
    encode = loaded(tmp_path / "a")
    assert TextEncoder(encode.model, encode.tokenizer).hash == ""


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    encode = load_text_encoder()
    before = encode(["a cat", "a dog"])[0]
    monkeypatch.setattr("fbridge.words.encoder.REMEMBERED_BYTES", 100)
    again = encode(["a dog", "a cat"])[0]
    assert set(encode._seen) == {"a cat", "a dog"}
    torch.testing.assert_close(again.flip(0), before)


def test_a_hub_id_fetches_the_encoder_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_pipeline(tmp_path)
    wanted = ["text_encoder/config.json", "text_encoder/model.safetensors",
              "tokenizer/spiece.model", "tokenizer/tokenizer.json"]  # fmt: skip
    others = ["transformer/config.json", "transformer/diffusion_pytorch_model.safetensors",
              "text_encoder/model.fp16.safetensors", "text_encoder/pytorch_model.bin", "code.py",
              "vae/config.json"]  # fmt: skip

    def snapshot(name: str, *, allow_patterns: list[str], ignore_patterns: list[str]) -> str:
        assert name == "owner/name"
        chosen = filter_repo_objects(
            [*wanted, *others], allow_patterns=allow_patterns, ignore_patterns=ignore_patterns
        )
        assert list(chosen) == wanted
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    assert load_text_encoder("owner/name").max_tokens == 6


def test_encoders_that_do_not_load(tmp_path: Path) -> None:
    def refused(match: str) -> None:
        with pytest.raises(CheckpointError, match=match) as caught:
            load_text_encoder(str(tmp_path))
        assert str(tmp_path) in str(caught.value)
        assert "\n" not in str(caught.value)

    refused(r"holds no config\.json")
    weights = save_pipeline(tmp_path) / "text_encoder/model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    refused("broken or cut off")
    weights.write_bytes(whole)
    tensors = load_file(weights)
    tensors.pop("encoder.final_layer_norm.weight")
    save_file(tensors, weights, {"format": "pt"})
    refused(r"incomplete: 1 missing, such as encoder\.final_layer_norm")
    weights.rename(weights.with_name("pytorch_model.bin"))
    refused(r"\.bin only")
    weights.with_name("pytorch_model.bin").unlink()
    refused(r"model\.safetensors is missing")
    (tmp_path / "text_encoder/config.json").write_text('{"model_type": "no-such-model"}')
    weights.write_bytes(whole)
    refused("does not load")
    save_pipeline(tmp_path)
    shutil.rmtree(tmp_path / "tokenizer")
    refused("does not load")


def test_words_go_where_the_network_computes(tmp_path: Path) -> None:
    """Weights that wait elsewhere, as diffusers' offloading leaves them, do not tell."""
    from accelerate.hooks import CpuOffload, add_hook_to_module

    model = loaded(save_pipeline(tmp_path)).model
    assert working_device(model) == torch.device("cpu")
    add_hook_to_module(model, CpuOffload(execution_device="meta"))
    assert working_device(model) == torch.device("meta")
