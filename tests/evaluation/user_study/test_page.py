"""The page of a study: blind, safe, and a whole session of it in a browser."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fbridge.errors import ConfigError
from fbridge.evaluation.user_study import analyse_study, write_study
from fbridge.evaluation.user_study.page import StudyVideos
from tests.browser import opened

HOSTILE = '</script><img src=x onerror="alert(1)">'
KEYS = ("one", "two", "three")


def clip(level: int) -> Tensor:
    """Brighter is better, so that an answer can be checked."""
    steps = torch.arange(12).reshape(-1, 1, 1, 1) * 2
    return (torch.full((12, 48, 48, 3), level) + steps).byte()


def videos() -> StudyVideos:
    return StudyVideos(
        systems={"secret-bright": lambda _: clip(200), "secret-dark": lambda _: clip(60)},
        keys=KEYS,
        captions={"one": HOSTILE},
        pictures=lambda key: clip(120)[0] if key == "one" else None,
    )


def test_nothing_tells_who_made_what(tmp_path: Path) -> None:
    key = write_study(tmp_path / "study", videos(), question=f"Which? {HOSTILE}")
    assert key == tmp_path / "study-key.json"
    files = [path for path in (tmp_path / "study").rglob("*") if path.is_file()]
    assert len(files) == 1 + 6 + 2 + 1  # page, videos, damaged ones, a picture
    for path in files:
        assert b"secret" not in path.read_bytes()
        assert "secret" not in path.name
    page = (tmp_path / "study/index.html").read_text()
    assert HOSTILE not in page
    assert page.count("</script>") == 2
    told = json.loads(key.read_text())
    assert {one["system"] for one in told["media"].values()} == {"secret-bright", "secret-dark"}
    assert len(told["checks"]) == 2


def test_what_cannot_be_asked(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is not empty; name another folder"):
        write_study(tmp_path / "full", videos())
    alone = StudyVideos({"a": lambda _: clip(1)}, KEYS, {}, lambda _: None)
    with pytest.raises(ConfigError, match="needs two systems or more"):
        write_study(tmp_path / "study", alone)

    def broken(key: str) -> Tensor:
        raise ConfigError(key)

    with pytest.raises(ConfigError, match="one"):
        write_study(
            tmp_path / "study", StudyVideos({"a": broken, "b": broken}, KEYS, {}, lambda _: None)
        )
    assert not (tmp_path / "study").exists()


def test_a_session_by_keyboard(tmp_path: Path) -> None:
    key = write_study(tmp_path / "study", videos())
    media = json.loads(key.read_text())["media"]
    good = {name for name, told in media.items() if told["system"] == "secret-bright"}
    checks = set(json.loads(key.read_text())["checks"].values())
    trouble: list[str] = []
    with opened(tmp_path / "study/index.html", trouble=trouble) as view:
        view.click("#begin")
        for number in range(5):
            if number == 2:
                view.reload()
                view.wait_for_timeout(300)
            assert view.inner_text("#count") == f"{number} of 5"
            view.wait_for_timeout(400)
            assert view.evaluate("document.getElementById('left-video').readyState") >= 2
            left, right = (
                Path(view.get_attribute(f"#{side}-video", "src")).stem for side in ("left", "right")
            )
            assert not (left in good and right in good)
            wanted = left in good if (left in media and right in media) else left in checks
            view.keyboard.press("ArrowLeft" if wanted else "2")
        assert view.is_visible("#end")
        with view.expect_download() as download:
            view.click("#save")
        saved = Path(download.value.path()).read_text()
        assert view.input_value("#text") == saved
    assert trouble == []
    found = analyse_study([("answers.json", saved)], (key.name, key.read_text()))
    assert found.inattentive == ()
    assert (found.pairs[0].wins, found.pairs[0].losses, found.pairs[0].rate) == (3, 0, 1.0)
