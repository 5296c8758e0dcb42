#!/usr/bin/env bash
# transformers 5.24.0: AutoTokenizer on the folder of a T5 tokenizer whose vocabulary has pieces for bytes, as mT5's has
#
# Such a vocabulary knows every text: a word or sign that it has no piece for becomes its bytes, and tokenizer.json says so
# ("byte_fallback": true). T5Tokenizer, which is what AutoTokenizer makes of it, takes the pieces from the file and builds
# the rest anew, without that setting: a run of unknown signs is one unknown token. Its number is always 2, too, though the
# file says which it is, and tokenizer.unk_token_id is right. Seen with a vocabulary that has <s> at 2 and <unk> at 3:
# prompts that end in either of two animals that it has no signs for are the same ids, with <s> for the animal, so that no
# text encoder can tell them apart; a comma, an accent and a line of twenty unknown signs are that token as well.
# sentencepiece and PreTrainedTokenizerFast give bytes for all of them. Saved again, the file itself says false from then on.
# With only spiece.model in the folder it is the same. transformers 4.57.3 reads the same tokenizer.json right. Nothing is
# raised or logged.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for version in 4.57.3 5.24.0; do
    python3 -m venv "$work/$version"
    "$work/$version/bin/pip" install --quiet --disable-pip-version-check \
        "transformers==$version" sentencepiece==0.2.1 protobuf==6.33.2 numpy==2.2.6
done
cat > "$work/make.py" <<'PY'
import json
import pathlib
import random
import sys

import sentencepiece
from tokenizers import Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import Unigram

work = pathlib.Path(sys.argv[1])
random.seed(0)
words = "a cat jumps over the red fox while sun is setting 猫 在 草地 上 跳".split()
corpus = work / "corpus.txt"
corpus.write_text("\n".join(" ".join(random.choices(words, k=8)) for _ in range(3000)), encoding="utf-8")
for folder in ("json", "spiece"):
    (work / folder).mkdir()
sentencepiece.SentencePieceTrainer.train(
    input=str(corpus), model_prefix=str(work / "spiece" / "spiece"), vocab_size=320, hard_vocab_limit=False,
    byte_fallback=True, character_coverage=1.0, pad_id=0, eos_id=1, bos_id=2, unk_id=3, minloglevel=2,
)  # fmt: skip
pieces = sentencepiece.SentencePieceProcessor(model_file=str(work / "spiece" / "spiece.model"))
scored = [(pieces.id_to_piece(number), pieces.get_score(number)) for number in range(len(pieces))]
tokenizer = Tokenizer(Unigram(scored, unk_id=3, byte_fallback=True))
tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
tokenizer.decoder = decoders.Metaspace()
tokenizer.post_processor = processors.TemplateProcessing(
    single=["$A", "</s>"], pair=["$A", "</s>", "$B", "</s>"], special_tokens=[("</s>", 1)]
)
tokenizer.add_special_tokens(["<pad>", "</s>", "<s>", "<unk>"])
tokenizer.save(str(work / "json" / "tokenizer.json"))
settings = {
    "tokenizer_class": "T5Tokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>",
    "extra_ids": 0, "additional_special_tokens": [],
}  # fmt: skip
for folder in ("json", "spiece"):
    (work / folder / "tokenizer_config.json").write_text(json.dumps(settings))
PY
cat > "$work/see.py" <<'PY'
import json
import pathlib
import sys

import sentencepiece
import transformers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

transformers.logging.set_verbosity_error()
work, fifth = pathlib.Path(sys.argv[1]), transformers.__version__.startswith("5")
pieces = sentencepiece.SentencePieceProcessor(model_file=str(work / "spiece" / "spiece.model"))
TIGER, HORSE = "a red 虎", "a red 馬"
PROMPTS = [TIGER, HORSE, "a cat, a fox", "a fox é", "草地 上 " + "雪山風雨" * 5]


def shown(tokenizer, text):
    return tokenizer.convert_ids_to_tokens(tokenizer(text).input_ids)


told = {text: pieces.encode(text, out_type=str) + ["</s>"] for text in [*PROMPTS, "a cat jumps"]}
assert shown(AutoTokenizer.from_pretrained(work / "json"), "a cat jumps") == told["a cat jumps"]
assert told[TIGER] != told[HORSE] and not any("<unk>" in tokens or "<s>" in tokens for tokens in told.values())

plain = PreTrainedTokenizerFast.from_pretrained(work / "json", unk_token="<unk>")
tokenizer = AutoTokenizer.from_pretrained(work / "json")
print(transformers.__version__, type(tokenizer).__name__, "unk_token_id", tokenizer.unk_token_id)
assert tokenizer.unk_token_id == plain.unk_token_id == pieces.unk_id() == 3
for text in PROMPTS:
    tokens = shown(tokenizer, text)
    print(" ", text, len(told[text]), "pieces in sentencepiece,", len(tokens), "here:", *tokens[:12])
    assert shown(plain, text) == told[text]
    if fifth:
        assert tokens.count("<s>") >= 1 and not any(token.startswith("<0x") for token in tokens)
    else:
        assert tokens == told[text]
same = tokenizer(TIGER).input_ids == tokenizer(HORSE).input_ids
print("  the two animals are the same ids:", same, tokenizer(TIGER).input_ids)
assert same == fifth
if fifth:
    assert shown(tokenizer, TIGER) == ["▁a", "▁red", "▁", "<s>", "</s>"] and tokenizer(TIGER).input_ids[3] == 2
    alone = AutoTokenizer.from_pretrained(work / "spiece")
    assert all(alone(text).input_ids == tokenizer(text).input_ids for text in PROMPTS)
    tokenizer.save_pretrained(work / "again")
    files = [work / folder / "tokenizer.json" for folder in ("json", "again")]
    models = [json.loads(file.read_text("utf-8"))["model"] for file in files]
    says = [(model["byte_fallback"], model["unk_id"]) for model in models]
    print("  byte_fallback and unk_id in the file, and saved again:", *says)
    assert says == [(True, 3), (False, 2)]
PY
"$work/5.24.0/bin/python" "$work/make.py" "$work"
for version in 4.57.3 5.24.0; do
    OMP_NUM_THREADS=1 "$work/$version/bin/python" "$work/see.py" "$work"
done
echo "as described"
