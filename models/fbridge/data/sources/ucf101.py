"""UCF-101: a folder a class, the class name as caption, the official splits kept as tags.

`trainlist0N.txt`, `testlist0N.txt` and `classInd.txt` are in the folder, in its `ucfTrainTestlist/`
or in the `ucfTrainTestlist/` beside it; the classes may be in its `UCF-101/`. A video is joined to
its splits by class and name without suffix, ignoring case, so that transcoded copies keep theirs.
The label is the number in `classInd.txt` minus one, else the index of the class among the sorted
folders. A video that is in a list but not in the folder is refused as missing. The lists (about
13000 lines) are held in memory, the videos are not.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from fbridge.data.sources.entry import Entry
from fbridge.data.sources.layout import Layout, Names, Sought, listed, look
from fbridge.data.sources.paths import locate, videos_below
from fbridge.errors import DataError
from fbridge.files.atomic import shown

LISTS = "ucfTrainTestlist"
VIDEOS = "UCF-101"
CLASSES = (
    "ApplyEyeMakeup", "ApplyLipstick", "Archery", "BabyCrawling", "BalanceBeam", "BandMarching",
    "BaseballPitch", "Basketball", "BasketballDunk", "BenchPress", "Biking", "Billiards",
    "BlowDryHair", "BlowingCandles", "BodyWeightSquats", "Bowling", "BoxingPunchingBag",
    "BoxingSpeedBag", "BreastStroke", "BrushingTeeth", "CleanAndJerk", "CliffDiving",
    "CricketBowling", "CricketShot", "CuttingInKitchen", "Diving", "Drumming", "Fencing",
    "FieldHockeyPenalty", "FloorGymnastics", "FrisbeeCatch", "FrontCrawl", "GolfSwing",
    "Haircut", "HammerThrow", "Hammering", "HandstandPushups", "HandstandWalking",
    "HeadMassage", "HighJump", "HorseRace", "HorseRiding", "HulaHoop", "IceDancing",
    "JavelinThrow", "JugglingBalls", "JumpRope", "JumpingJack", "Kayaking", "Knitting",
    "LongJump", "Lunges", "MilitaryParade", "Mixing", "MoppingFloor", "Nunchucks",
    "ParallelBars", "PizzaTossing", "PlayingCello", "PlayingDaf", "PlayingDhol", "PlayingFlute",
    "PlayingGuitar", "PlayingPiano", "PlayingSitar", "PlayingTabla", "PlayingViolin",
    "PoleVault", "PommelHorse", "PullUps", "Punch", "PushUps", "Rafting", "RockClimbingIndoor",
    "RopeClimbing", "Rowing", "SalsaSpin", "ShavingBeard", "Shotput", "SkateBoarding", "Skiing",
    "Skijet", "SkyDiving", "SoccerJuggling", "SoccerPenalty", "StillRings", "SumoWrestling",
    "Surfing", "Swing", "TableTennisShot", "TaiChi", "TennisSwing", "ThrowDiscus",
    "TrampolineJumping", "Typing", "UnevenBars", "VolleyballSpiking", "WalkingWithDog",
    "WallPushups", "WritingOnBoard", "YoYo",
)  # fmt: skip
"""The class folders, sorted by name."""
CLIP = re.compile(r"v_\w+_g\d+_c\d+\.avi", re.IGNORECASE)
SPLIT = re.compile(r"(train|test)list(\d+)\.txt", re.IGNORECASE)

_PROBED = 3


def find(sought: Sought) -> Layout | None:
    """The layout of a folder of classes, recognised by the lists or the names of the clips."""
    if sought.file:
        return None
    root = sought.folder
    top = VIDEOS if VIDEOS in sought.names.folders else ""
    inner = look(root / top) if top else sought.names
    classes = tuple(name for name in inner.folders if name != LISTS)
    deeper = look(root / LISTS) if LISTS in sought.names.folders else Names()
    own = _lists(root, sought.names) or _lists(root / LISTS, deeper) or _lists(root / top, inner)
    named = any(_holds_clips(root / top / name) for name in classes[:_PROBED])
    if not classes or not (own or named or sought.forced):
        return None
    sibling = root.parent / LISTS
    beside = own or (_lists(sibling, look(sibling)) if sibling.is_dir() else ())
    summary = f"ucf101: {len(classes)} classes, caption from the class name, " + (
        f"splits from {listed(path.name for path in beside)}" if beside else "no splits"
    )
    read = tuple(path.name for path in beside)
    return Layout("ucf101", summary, root, partial(_entries, str(root), top, classes, beside), read)


def class_words(name: str) -> str:
    """The class name as separate words: "ApplyEyeMakeup" is "apply eye makeup"."""
    words = ""
    for before, letter, after in zip(" " + name, name, name[1:] + " ", strict=False):
        if not letter.isalnum():
            words += " "
            continue
        starts = letter.isupper() and (not before.isupper() or after.islower())
        if starts or letter.isdecimal() != before.isdecimal():
            words += " "
        words += letter.lower()
    return " ".join(words.split())


def _lists(folder: Path, names: Names) -> tuple[Path, ...]:
    return tuple(
        folder / name
        for name in names.ending(".txt")
        if SPLIT.fullmatch(name) or name.lower() == "classind.txt"
    )


def _holds_clips(folder: Path) -> bool:
    try:
        with os.scandir(folder) as found:
            return any(CLIP.fullmatch(item.name) for item in found)
    except OSError:
        return False


def _caption(folder: str) -> tuple[str, ...]:
    return tuple(filter(None, [class_words(shown(folder))]))


def _entries(
    root: str, top: str, classes: tuple[str, ...], lists: tuple[Path, ...]
) -> Iterator[Entry]:
    labels, tags = _read(classes, lists)
    there = {name.casefold(): name for name in classes}
    named = {_join(name): name for name in tags}
    splits = {_join(name): tuple(found) for name, found in tags.items()}
    for place in videos_below(root, top):
        inner = place.key[len(top) + 1 :] if top else place.key
        folder = there.get(inner.partition("/")[0].casefold(), "") if "/" in inner else ""
        key = _join(inner)
        named.pop(key, None)
        yield replace(
            place,
            captions=_caption(folder),
            split=splits.get(key, ()),
            label=labels.get(folder.casefold()),
        )
    for key, name in named.items():
        folder = name.partition("/")[0]
        place = locate(root, str(Path(root, top)), name, line=name)
        yield Entry(
            place.key,
            None,
            _caption(folder),
            splits[key],
            labels.get(folder.casefold()),
            place.refused or "is no video of its class folder; move or rename it",
            missing=place.refused.startswith("missing"),
        )


def _read(
    classes: tuple[str, ...], lists: tuple[Path, ...]
) -> tuple[dict[str, int], dict[str, list[str]]]:
    """Class to label, and "Class/clip.avi" to tags."""
    labels = {name.casefold(): number for number, name in enumerate(classes)}
    tags: dict[str, list[str]] = {}
    for path in lists:
        split = SPLIT.fullmatch(path.name)
        if split is None:
            labels = {name.casefold(): number for number, name in _class_numbers(path)}
            continue
        tag = split[1].lower() + split[2]
        for _, words in _lines(path):
            found = tags.setdefault(words[0], [])
            found += [tag] if tag not in found else []
    order = {name: sorted(found, key=_number) for name, found in tags.items()}
    return labels, order


def _class_numbers(path: Path) -> Iterator[tuple[int, str]]:
    for line, words in _lines(path):
        if len(words) != 2 or not re.fullmatch("[0-9]{1,6}", words[0]):
            raise DataError(
                f"{shown(path)}:{line}: {ascii(' '.join(words))[:60]} is not a number and a class; "
                "mend the line"
            )
        yield int(words[0]) - 1, words[1]


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="\n") as file:
            for number, line in enumerate(file, start=1):
                if words := line.replace("\\", "/").split():
                    yield number, words
    except OSError as error:
        raise DataError(f"{shown(path)}: cannot be read ({error.strerror})") from None


def _number(tag: str) -> tuple[str, str]:
    return re.sub("[a-z]", "", tag), tag


def _join(name: str) -> str:
    """The name by which a clip in a list and a file in the folder are joined."""
    stem, dot, _ = name.rpartition(".")
    return (stem if dot else name).casefold()
