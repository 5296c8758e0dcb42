"""From pictures and prompts to videos: the core of `fbridge generate`.

A `GenerateRequest` says what to make; building it checks it and needs no torch. `run` performs it
and yields events, the last of which are the finished videos:

    from pathlib import Path
    from fbridge.generate import Finished, GenerateRequest, run

    request = GenerateRequest(images=[Path("cat.jpg")], prompt="cat jumping", seed=0)
    for event in run(request):
        if isinstance(event, Finished):
            print(event.video, event.record.seed)

`load_pipeline` loads a model once for several requests: `run(request, loaded=load_pipeline(name))`.
"""

from fbridge.generate.anywhere import run
from fbridge.generate.events import (
    Event,
    Finished,
    Item,
    Loading,
    Noted,
    Planned,
    Progress,
    Reading,
    Warned,
)
from fbridge.generate.load import Loaded, load_pipeline
from fbridge.generate.request import GenerateRequest, Job

__all__ = [
    "Event",
    "Finished",
    "GenerateRequest",
    "Item",
    "Job",
    "Loaded",
    "Loading",
    "Noted",
    "Planned",
    "Progress",
    "Reading",
    "Warned",
    "load_pipeline",
    "run",
]
