"""`fbridge eval`: what was typed becomes an order."""

from __future__ import annotations

from fbridge_cli.evaluate import options as option
from fbridge_cli.ui import Ui


def evaluate(
    generated: option.Generated = None,
    reference: option.Reference = None,
    metrics: option.Metrics = None,
    pictures: option.Pictures = None,
    codec: option.Codec = None,
    baselines: option.Baselines = True,
    protocol: option.ProtocolName = "stylegan-v",
    frames: option.Frames = None,
    stride: option.Stride = None,
    size: option.Size = None,
    clips: option.Clips = None,
    seed: option.Seed = None,
    weights: option.Weights = None,
    skip_bad: option.SkipBad = False,
    workers: option.Workers = None,
    device: option.Device = "auto",
    cache: option.Cache = None,
    title: option.Title = "",
    out: option.Out = None,
    report: option.HtmlReport = None,
    vbench: option.VBenchFile = None,
    compare: option.Compare = None,
    study: option.Study = None,
    question: option.Question = None,
    study_results: option.StudyResults = False,
    list_all: option.ListAll = False,
    json: option.Json = False,
) -> None:
    """Measure generated videos, every number with its protocol, interval and baselines.

    Example:
        fbridge eval --metric fvd

        fbridge eval takes/ --reference real/ --metric fvd,psnr --report report.html

        fbridge eval takes/ --reference real/ --metric fvd --json > a.json

        fbridge eval --compare a.json b.json

        fbridge eval old/ new/ --study study/

        fbridge eval --study-results answers-*.json
    """
    from fbridge_cli.evaluate.errand import carry_out
    from fbridge_cli.evaluate.order import Typed

    typed = locals()
    carry_out(Typed(**{name: typed[name] for name in Typed.__dataclass_fields__}), Ui(machine=json))
