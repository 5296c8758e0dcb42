"""The report: complete, safe against hostile names, and alive in a browser without any network."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fbridge.evaluation.report import render_report
from fbridge.evaluation.report.charts import baseline_chart, histogram, quartile_chart
from fbridge.evaluation.result import ClipPair, Evaluation, Interval, Score, Side
from tests.browser import opened

HOSTILE = '</script><img src=x onerror="alert(1)">'


def score(name: str, values: list[float], **more: object) -> Score:
    facts: dict[str, object] = {
        "metric": name,
        "label": name.upper(),
        "protocol": f"{name}[1,T6]",
        "value": sum(values) / len(values),
        "better": "higher",
        "interval": Interval(1.0, 2.0, 0.95, "a bootstrap"),
        "generated": len(values),
        "reference": len(values),
        "baselines": {"picture repeated": 0.5, "frames shuffled": 2.5},
        "quartiles": (1.0, 2.0, 3.0, 4.0),
        "clips": {f"{n:02d}": value for n, value in enumerate(values)},
    }
    return Score(**{**facts, **more})  # type: ignore[arg-type]


def evaluation(count: int = 10) -> Evaluation:
    values = [1.0 + n / 10 for n in range(count)]
    side = Side(HOSTILE, count, "0" * 64, {"too short": 1}, {"40x40": count}, {"h264": count})
    return Evaluation(
        title=f"a title {HOSTILE}",
        protocol="tf",
        frames=6,
        stride=1,
        size=(40, 40),
        scores=(
            score("psnr", values),
            score(
                "fvd",
                [80.0],
                better="lower",
                clips={},
                warning="n=1, under 256",
                details={"limit": 70.0, "limit_stderr": 3.0},
            ),
        ),
        generated=side,
        reference=side,
        pairs=tuple(
            ClipPair(f"{n:02d}", f"{n}.mp4", f"r{n}.mp4", caption=HOSTILE) for n in range(count)
        ),
        notes=(HOSTILE,),
        versions={"fbridge": "1"},
        seconds=1.0,
    )


def frames(pair: ClipPair, side: str) -> Tensor | None:
    if pair.key == "09" and side == "generated":
        return None
    generator = torch.Generator().manual_seed(int(pair.key))
    clip = torch.randint(0, 256, (1 if side == "picture" else 12, 40, 40, 3), generator=generator)
    return clip.byte()


def test_all_of_it_is_there_and_nothing_is_alive_that_should_not_be() -> None:
    page = render_report(evaluation(), frames)
    assert HOSTILE not in page
    assert page.count("<script>") == page.count("</script>") == 1
    assert "<img src=x" not in page
    for told in ("PSNR", "n=1, under 256", "infinitely many clips: 70", "picture repeated",
                 "psnr[1,T6]", "too short (1)", "best 1", "worst 3"):  # fmt: skip
        assert told in page
    assert page.count("n=1, under 256") == 2  # in front, and beside the number
    assert page.count("data:video/webm;base64,") == 11  # six clips on two sides, but one
    assert page.count("<img src=") == 6
    assert "default-src 'none'" in page


def test_charts_of_little_are_left_out() -> None:
    told = {"picture repeated": "0.5", "frames shuffled": "2.5"}
    assert "<svg" in baseline_chart(score("psnr", [1.0]), told)
    assert baseline_chart(score("psnr", [math.inf]), told) == ""
    assert baseline_chart(score("psnr", [1.0], baselines={}), {}) == ""
    assert quartile_chart([1.0, math.nan], "x") == ""
    assert quartile_chart([], "x") == ""
    assert histogram([1.0] * 20, "x") == ""
    assert histogram([1.0, 2.0], "x") == ""
    assert histogram([float(n) for n in range(9)], "x").count("<rect") == 24


def test_it_plays_in_a_browser(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(render_report(evaluation(), frames), encoding="utf-8")
    trouble: list[str] = []
    with opened(page, width=400, trouble=trouble) as view:
        assert "a title" in view.title()
        assert view.evaluate("document.documentElement.scrollWidth <= innerWidth")
        view.evaluate("document.querySelector('.videos').scrollIntoView()")
        for _ in range(50):  # the page forbids what a waiting function would need
            view.wait_for_timeout(100)
            if view.evaluate("document.querySelector('video').currentTime") > 0.2:
                break
        else:
            pytest.fail("the video does not play")
        size = view.evaluate("document.querySelector('video').videoWidth")
        assert size == 40
        view.keyboard.press(" ")
        assert view.evaluate("document.querySelector('video').paused")
    assert trouble == []
