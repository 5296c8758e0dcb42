"""`GenerateRequest`: everything that can be asked of `fbridge generate`, checked, without torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

from fbridge.checks import (
    MOST_BATCH,
    check_choice,
    check_device,
    check_fps,
    check_range,
    check_text,
    check_work,
    is_url,
)
from fbridge.choices import (
    BOTH,
    DTYPES,
    EMBEDDED,
    EXPERTS,
    FIRST_FRAMES,
    GRIDS,
    IMAGE_INPUTS,
    SAMPLERS,
    STARTS,
)
from fbridge.cluster.options import RayOptions
from fbridge.data.video_writers import GIF_FASTEST
from fbridge.errors import ConfigError
from fbridge.generate.naming import Target, parse_target
from fbridge.loaders.lora_choice import parse_lora
from fbridge.loaders.names import check_model
from fbridge.memory.options import MemoryOptions

if TYPE_CHECKING:
    from fbridge.data.stores.url import StoreUrl

MOST_STEPS = 1000
LARGEST_SEED = 2**63 - 1

_WITH_REPLAY = {"images", "replay", "model", "base", "device", "memory", "out", "format"}
_WITH_REPLAY |= {"overwrite", "metadata", "dry_run", "download", "loras"}
_OPTIONS = {"tiling": "vae-tiling", "slicing": "vae-slicing"}


@dataclass(frozen=True)
class Job:
    """One video to make.

    Attributes:
        picture: file of the picture.
        video: file to write, or folder of frames; None names it after the picture.
        place: what the record says of where the picture is, such as its URL; None is its path from
            the video's folder, "" is nothing.
    """

    picture: Path
    prompt: str
    negative: str = ""
    seed: int = 0
    video: Path | None = None
    place: str | None = None

    def __post_init__(self) -> None:
        """Refuse a seed that no generator accepts."""
        check_seed(self.seed, "--seed")


@dataclass(frozen=True, kw_only=True)
class GenerateRequest:
    """Which videos to make, how, and where; None leaves a value to the model.

    Attributes:
        images: pictures, folders of pictures, or .csv/.jsonl lists with the columns image, prompt,
            negative and seed; also behind URLs, and lists may name URLs.
        prompt: one or several; each makes its own videos.
        negative: what guidance steers away from.
        seed: one or several; each makes its own video.
        num: videos of each picture and prompt, with seeds that count up from `seed`.
        jobs: in place of images, prompt, negative, seed and num: each video by itself.
        replay: make this video once more, from the record that it carries; only `images` (where
            its picture is now), model, base, loras (where they are now), device, out, format,
            overwrite, metadata and dry_run may be given too.
        model: embedded (the default), a folder, a file of weights, each also in a store
            (s3://...), or a hub id.
        fps: frames per second.
        size: (width, height) in pixels.
        eta: share of fresh noise, of sampler "dbim".
        grid: kind of `fbridge.sampling.time_grid`.
        time_shift: its `shift`.
        start: how sampling begins; see `fbridge.sampling.Start`.
        strength: time at which sampling starts, as a share of the whole bridge.
        image_input: how the picture reaches the network, one of `fbridge.choices.IMAGE_INPUTS`.
        first_frame: whether it is the picture's latent, one of `fbridge.choices.FIRST_FRAMES`.
        components: folder with what a model that is weights alone lacks; `download` fetches it.
        expert: "low" or "high": which network of a pair it is, or "both": the pair of which it is
            one file; see `fbridge.loaders.experts`.
        base: of an adapter, if it does not lie where it was.
        loras: LoRA files of the text-to-video model, FILE[:WEIGHT][@NETWORK], merged into the
            network; of an adapter also where those that it was trained over are now.
        guidance: weight of the prompt; 1 is no guidance.
        guidance_2: the same for the second of two networks.
        image_guidance: weight of the picture; 1 is no guidance.
        batch_size: videos made at the same time.
        out: a file such as "jump.mp4", or a folder, also by its URL; None is the working directory.
        format: one of `fbridge.choices.FORMATS`; None is that of `out`, else mp4.
        resume: videos that are there stay, if their records say that they were made as this
            request makes them.
        metadata: write the record, inside the video and as a .json file beside it.
        dry_run: stop once the plan is made.
        ray: the cluster that makes several videos instead of this process; None is none.

    Raises:
        ConfigError: a value is not possible, or two contradict each other.
        CheckpointError: the model's folder does not exist.
    """

    images: Sequence[Path | StoreUrl] = ()
    prompt: str | Sequence[str] = ()
    negative: str = ""
    seed: int | Sequence[int] = 0
    num: int = 1
    jobs: Sequence[Job] = ()
    replay: Path | None = None
    model: str | None = None
    frames: int | None = None
    fps: float | None = None
    size: tuple[int, int] | None = None
    steps: int | None = None
    sampler: str | None = None
    eta: float | None = None
    grid: str | None = None
    time_shift: float | None = None
    start: str | None = None
    strength: float | None = None
    image_input: str | None = None
    first_frame: str | None = None
    components: str | None = None
    expert: str | None = None
    base: str | None = None
    loras: Sequence[str] = ()
    download: bool = False
    memory: MemoryOptions = field(default_factory=MemoryOptions)
    guidance: float | None = None
    guidance_2: float | None = None
    image_guidance: float | None = None
    device: str = "auto"
    dtype: str = "float32"
    batch_size: int = 1
    out: str | Path | None = None
    format: str | None = None
    overwrite: bool = False
    resume: bool = False
    metadata: bool = True
    dry_run: bool = False
    ray: RayOptions | None = None

    def __post_init__(self) -> None:
        """Check every value that can be checked without the model."""
        target = parse_target(self.out, self.format)
        if self.out is not None and is_url(self.out):
            check_store(str(self.out), target)
        if self.replay is not None:
            if self.ray is not None:
                raise ConfigError(
                    "--engine ray: is for several videos, and --from makes one; drop it"
                )
            self._check_replay()
            self._check_loras()
            return
        self._check_settings()
        check_speed(target.kind, self.fps)
        self._check_inputs()
        self._check_resume()

    @property
    def files(self) -> list[Path]:
        """The images that are files or folders of this machine."""
        return [image for image in self.images if isinstance(image, Path)]

    @property
    def prompts(self) -> Sequence[str]:
        """All prompts."""
        return [self.prompt] if isinstance(self.prompt, str) else self.prompt

    @property
    def seeds(self) -> Sequence[int]:
        """All seeds."""
        return [self.seed] if isinstance(self.seed, int) else self.seed

    @property
    def model_name(self) -> str:
        """The model, with the default filled in."""
        return EMBEDDED if self.model is None else self.model

    def _check_replay(self) -> None:
        given = [
            one.name
            for one in fields(self)
            if one.name not in _WITH_REPLAY and getattr(self, one.name) != one.default
        ]
        usual = MemoryOptions()
        given += [
            _OPTIONS.get(one.name, one.name)
            for one in fields(usual)
            if getattr(self.memory, one.name) != one.default
        ]
        for name in given:
            raise ConfigError(
                f"--from makes the recorded video; drop --{name.replace('_', '-')}, or drop --from"
            )

    def _check_settings(self) -> None:
        if names_store(self.model_name):
            from fbridge.data.stores.url import parse_url  # here, since it takes time

            parse_url(self.model_name, "--model")
        else:
            check_model("--model", self.model_name)
        if self.base is not None:
            check_model("--base", self.base)
        self._check_loras()
        check_device(self.device)
        check_choice("--dtype", self.dtype, DTYPES)
        check_range("--batch-size", self.batch_size, 1, MOST_BATCH)
        check_range("--frames", self.frames, 1, math.inf)
        check_fps(self.fps)
        check_range("--steps", self.steps, 1, MOST_STEPS)
        check_range("--eta", self.eta, 0, 1)
        check_range("--time-shift", self.time_shift, 0.01, 100)
        check_range("--strength", self.strength, 0.01, 1)
        check_range("--guidance", self.guidance, 0, 100)
        check_range("--guidance-2", self.guidance_2, 0, 100)
        check_range("--image-guidance", self.image_guidance, 0, 100)
        for option, value, allowed in (
            ("--sampler", self.sampler, SAMPLERS),
            ("--grid", self.grid, GRIDS),
            ("--start", self.start, STARTS),
            ("--image-input", self.image_input, IMAGE_INPUTS),
            ("--first-frame", self.first_frame, FIRST_FRAMES),
            ("--expert", self.expert, (*EXPERTS, BOTH)),
        ):
            if value is not None:
                check_choice(option, value, allowed)
        if self.frames is not None and self.size is not None:
            check_work(self.frames, self.size)

    def _check_resume(self) -> None:
        if self.resume and self.overwrite:
            raise ConfigError(
                "--resume and --overwrite contradict: one keeps videos that are there; drop one"
            )
        if self.resume and not self.metadata:
            raise ConfigError(
                "--resume tells by their records what videos are, and --no-metadata leaves these "
                "out; drop one"
            )

    def _check_loras(self) -> None:
        if self.loras and self.model_name == EMBEDDED and self.replay is None:
            raise ConfigError(
                f"--lora {self.loras[0]}: is about a text-to-video model, and the embedded model "
                "takes no LoRA; name the model that it was made for with --model"
            )
        for text in self.loras:
            parse_lora(text)

    def _check_inputs(self) -> None:
        if self.jobs and self.images:
            raise ConfigError("jobs and images: give one of them")
        for prompt in self.prompts:
            check_prompt(prompt, "--prompt")
        if self.negative:
            check_prompt(self.negative, "--negative")
        check_range("--num", self.num, 1, 10_000)
        for seed in self.seeds:
            check_seed(seed, "--seed")
        if not self.seeds:
            raise ConfigError("--seed: is empty; give at least one")
        if len(set(self.seeds)) < len(self.seeds):
            raise ConfigError("--seed: the same seed twice makes the same video; give each once")
        if len(self.seeds) > 1 and self.num > 1:
            raise ConfigError(
                "--num and several --seed: give one --seed to count from, or only the seeds"
            )
        check_seed(self.seeds[0] + self.num - 1, "--seed")
        if not self.images and not self.jobs:
            raise ConfigError("no IMAGE given; name a picture, a folder, or a .csv or .jsonl list")


def names_store(model: str) -> bool:
    """Whether a model is in a store; a web address names the model of the hub that it shows."""
    return is_url(model) and not model.lower().startswith("http")


def check_store(out: str, target: Target) -> None:
    """Raise ConfigError unless videos can be written to a URL."""
    from fbridge.data.stores.url import parse_target as parse_url  # here, since it takes time

    parse_url(out, "-o")
    if target.kind == "png":
        raise ConfigError(
            f"-o {out}: a folder of frames does not appear there at once; use --format mp4, or "
            "name a folder of this machine"
        )


def check_prompt(text: str, where: str) -> None:
    """Raise ConfigError when a prompt is empty or is not text."""
    if not text.strip():
        raise ConfigError(f'{where}: is empty; say what shall happen, such as "cat jumping"')
    check_text(text, where)


def check_seed(seed: int, where: str) -> None:
    """Raise ConfigError when a seed is out of the range that generators accept."""
    if not 0 <= seed <= LARGEST_SEED:
        raise ConfigError(f"{where} {seed}: must be a whole number from 0 to 2^63 - 1")


def check_speed(kind: str, fps: float | None) -> None:
    """Raise ConfigError when a GIF would have more frames per second than GIF allows."""
    if kind == "gif" and fps is not None and fps > GIF_FASTEST:
        raise ConfigError(f"--fps {fps:g}: a GIF shows at most {GIF_FASTEST}; use --format mp4")


def check_negative(jobs: Sequence[Job], guidance: float | None) -> None:
    """Raise ConfigError when there is a negative prompt and no guidance that uses it."""
    if guidance == 1 and any(job.negative for job in jobs):
        raise ConfigError("--negative has no effect at guidance 1; add --guidance 2")
