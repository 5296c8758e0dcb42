"""`fbridge eval --study` and `--study-results`: asking people, and counting what they answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from fbridge.errors import ConfigError, DataError
from fbridge.files.atomic import shown
from fbridge_cli.checks import home_expanded
from fbridge_cli.evaluate.order import Typed
from fbridge_cli.evaluate.tables import number
from fbridge_cli.ui import Ui

if TYPE_CHECKING:
    from torch import Tensor

    from fbridge.evaluation.clips import EvalClip
    from fbridge.evaluation.pairing import Cast
    from fbridge.evaluation.user_study import StudyResult


def write(typed: Typed, folder: Path, ui: Ui) -> None:
    """Write the page of a study.

    Raises:
        FBridgeError: there are not two systems with clips of the same names, or it cannot be
            written.
    """
    from fbridge.evaluation.user_study import write_study
    from fbridge.evaluation.user_study.page import QUESTION, Subjects

    systems = [Path(home_expanded(path)) for path in typed.generated or ()]
    if len(systems) < 2:
        raise ConfigError("--study: name two GENERATED or more, a folder of videos each")
    twice = [name for name, times in Counter(map(_name, systems)).items() if times > 1]
    if twice:
        raise ConfigError(f"--study: two systems are called {twice[0]!r}; rename one folder")
    casts = {_name(path): _cast(path, typed) for path in systems}
    keys = sorted(set.intersection(*(set(cast.clips) for cast in casts.values())))
    keys = keys[: typed.clips or len(keys)]
    first = next(iter(casts.values()))
    first.keep(keys)
    captions, pictures = _told(first, typed)
    with ui.waiting("writing the study"):
        key = write_study(
            folder,
            Subjects(
                systems={name: _frames(cast) for name, cast in casts.items()},
                keys=keys,
                captions=captions,
                pictures=lambda clip: _picture(first, pictures, clip),
            ),
            question=typed.question or QUESTION,
            seed=typed.seed or 0,
        )
    ui.result(f"{shown(folder / 'index.html')}: {len(keys)} clips of {len(casts)} systems")
    ui.note(f"keep {shown(key)} to yourself: it tells which system made which video")


def tell_results(typed: Typed, ui: Ui) -> None:
    """Count the answers of a study.

    Raises:
        DataError: files are missing or of another study.
    """
    from fbridge.evaluation.user_study import analyse_study

    paths = typed.generated or []
    keys = [path for path in paths if path.name.endswith("-key.json")]
    if typed.study is not None:
        keys = [typed.study.with_name(f"{typed.study.name}-key.json")]
    answers = [path for path in paths if path not in keys]
    if len(keys) != 1:
        raise ConfigError(
            "--study-results: needs the study's key too; name its DIR-key.json among the files, "
            "or its folder with --study DIR"
        )
    if not answers:
        raise ConfigError("--study-results: name the files of answers, one of each participant")
    found = analyse_study([(shown(path), _text(path)) for path in answers],
                          (shown(keys[0]), _text(keys[0])))  # fmt: skip
    if ui.machine:
        ui.json(found.to_json())
        return
    _show(found, ui)


def _show(found: StudyResult, ui: Ui) -> None:
    rows = []
    for pair in found.pairs:
        ends = pair.interval
        rows.append(
            [
                f"{pair.first} against {pair.second}",
                f"{100 * pair.rate:.1f} %",
                "" if ends is None else f"{100 * ends.low:.1f} to {100 * ends.high:.1f} %",
                f"{pair.wins} / {pair.losses} / {pair.ties}",
                number(pair.agreement),
            ]
        )
    ui.table(["preferred", "share", "95 % interval", "won / lost / tied", "agreement"], rows)
    for name, strength in sorted(found.strengths.items(), key=lambda pair: -pair[1]):
        ends = found.strength_intervals.get(name)
        told = "" if ends is None else f" ({number(ends.low)} to {number(ends.high)})"
        ui.result(f"{name}: strength {number(strength)}{told}")
    ui.note(f"{found.participants} participants; {len(found.inattentive)} left out as inattentive")
    if found.left_interval is not None and not (
        found.left_interval.low <= 0.5 <= found.left_interval.high
    ):
        ui.warn(f"the left side was chosen in {100 * found.left:.0f} % of the answers")


def _cast(path: Path, typed: Typed) -> Cast:
    from fbridge.evaluation.clips import FrameSampling, list_clips
    from fbridge.evaluation.pairing import Cast, look

    protocol = typed.settled()
    cut = FrameSampling(protocol.frames, protocol.generated_stride)
    workers = 0 if typed.workers is None else typed.workers
    for event in look(list_clips(path), cut, what=_name(path), workers=workers):
        if isinstance(event, Cast):
            if event.failed and not typed.skip_bad:
                bad = event.failed[0]
                raise DataError(f"{shown(bad.path)}: {bad.reason}; --skip-bad leaves it out")
            return event
    raise AssertionError("looking ends with its outcome")


def _told(first: Cast, typed: Typed) -> tuple[dict[str, str], dict[str, Path]]:
    from fbridge.evaluation.pairing import captions_of, pictures_of, record_of

    records = {key: told for key, clip in first.clips.items() if (told := record_of(clip))}
    folder = None if typed.pictures is None else Path(home_expanded(typed.pictures))
    return captions_of(first, None, records, 0), pictures_of(first, records, folder)


def _frames(cast: Cast) -> Callable[[str], Tensor]:
    from fbridge.evaluation.clips import read_clip

    def frames(key: str) -> Tensor:
        clip: EvalClip = cast.clips[key]
        return read_clip(clip, (clip.width, clip.height))

    return frames


def _picture(first: Cast, pictures: dict[str, Path], key: str) -> Tensor | None:
    from fbridge.evaluation.clips import read_picture

    if key not in pictures:
        return None
    clip = first.clips[key]
    return read_picture(pictures[key], (clip.width, clip.height))[0]


def _name(path: Path) -> str:
    return path.resolve().name


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{shown(path)}: cannot be read ({error})") from None
