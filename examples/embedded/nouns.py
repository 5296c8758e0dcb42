"""Make the table that leads the embedded model's masks: which ImageNet classes a noun names.

    python -m examples.embedded.nouns materials/ models/fbridge/pretrained/nouns.safetensors

downloads WordNet 3.0 (Debian's wordnet-base; WordNet licence) and timm's list of ImageNet's synsets
(a wheel, Apache-2.0). A noun names a class if it is a lemma of the class's synset or of one of its
hypernyms: "dog" names 118 breeds. ImageNet has no class for people; what they wear stands for them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import zipfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from examples.embedded.materials import unpack
from fbridge.codecs.scenes.features import CLASSES
from fbridge.words.minilm import packaged_minilm

TOO_GENERAL = {
    "entity", "physical entity", "object", "physical object", "whole", "unit", "matter", "thing",
    "abstraction", "abstract entity", "causal agent", "cause", "causal agency", "artifact",
    "artefact", "instrumentality", "instrumentation", "organism", "being", "living thing",
    "animate thing", "psychological feature", "attribute", "relation",
}  # fmt: skip
PEOPLE = (
    "person", "people", "man", "woman", "men", "women", "girl", "boy", "child", "children", "kid",
    "baby", "lady", "guy", "face", "portrait", "head", "dancer", "player", "worker", "soldier",
    "teacher", "student", "doctor", "astronaut", "actor", "actress", "singer", "friend", "couple",
    "bride", "groom", "rider", "skier", "surfer", "runner", "tourist", "crowd", "human", "girls",
    "boys", "skateboarder", "model", "musician", "chef", "cook", "farmer", "fisherman", "hiker",
)  # fmt: skip
WORN = (
    399, 400, 411, 439, 445, 451, 452, 457, 459, 474, 515, 518, 560, 578, 601, 608, 610, 614, 617,
    629, 638, 639, 652, 655, 667, 678, 689, 735, 775, 793, 806, 808, 824, 834, 836, 837, 841, 842,
    869, 887, 903, 906, 981, 982, 983,
)  # fmt: skip
"""ImageNet's classes of clothes and of people in them."""


def fetch(folder: Path) -> tuple[Path, list[int]]:
    """WordNet's nouns, and the offset in it of each ImageNet class."""
    folder.mkdir(parents=True, exist_ok=True)
    nouns = unpack("wordnet-base", folder) / "usr/share/wordnet/data.noun"
    if not list(folder.glob("timm-*.whl")):
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "timm>=1"]
        subprocess.run(pip, cwd=folder, check=True)
    with zipfile.ZipFile(next(folder.glob("timm-*.whl"))) as wheel:
        listed = wheel.read("timm/data/_info/imagenet_synsets.txt").decode()
    return nouns, [int(line[1:]) for line in listed.split()]


def read_wordnet(path: Path) -> tuple[dict[int, list[str]], dict[int, list[int]]]:
    """Lemmas and hypernyms of each synset, by its offset."""
    lemmas: dict[int, list[str]] = {}
    above: dict[int, list[int]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith(" "):
            continue
        parts = line.split(" | ")[0].split()
        offset, count = int(parts[0]), int(parts[3], 16)
        lemmas[offset] = [w.replace("_", " ").lower() for w in parts[4 : 4 + 2 * count : 2]]
        pointers = parts[5 + 2 * count :]
        above[offset] = [
            int(pointers[i + 1]) for i in range(0, len(pointers) - 3, 4) if pointers[i] == "@"
        ]
    return lemmas, above


def members(
    lemmas: dict[int, list[str]], above: dict[int, list[int]], offsets: list[int]
) -> dict[str, set[int]]:
    """The classes, in the order of their synsets' offsets, that each noun names."""
    named: dict[str, set[int]] = defaultdict(set)
    for label, offset in enumerate(offsets):
        todo, seen = [offset], set()
        while todo:
            synset = todo.pop()
            if synset in seen:
                continue
            seen.add(synset)
            for lemma in lemmas[synset]:
                if lemma not in TOO_GENERAL:
                    named[lemma].add(label)
            todo += above[synset]
    for noun in PEOPLE:
        named[noun] = set(WORN)
    return named


def main() -> None:
    """Fetch, list, embed, write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("materials", type=Path)
    parser.add_argument("target", type=Path)
    args = parser.parse_args()
    nouns, offsets = fetch(args.materials / "words")
    named = members(*read_wordnet(nouns), offsets)
    words = sorted(named)
    args.target.parent.mkdir(parents=True, exist_ok=True)
    table = np.zeros((len(words), CLASSES), bool)
    for row, word in enumerate(words):
        table[row, sorted(named[word])] = True
    save_file(
        {
            "words": torch.tensor(list("\n".join(words).encode()), dtype=torch.uint8),
            "classes": torch.from_numpy(np.packbits(table, axis=1)),
            "embeddings": packaged_minilm().pooled(words).half(),
        },
        args.target,
    )
    print(f"{len(words)} nouns")


if __name__ == "__main__":
    main()
