"""What the name of a model means: its kind, files, configuration and parts, found once.

No weights are read. `load_pretrained` and `FrameBridgePipeline.from_pretrained` load the answer,
`inspect_model` (fbridge info) and `model_sizes` (fbridge doctor) describe it, so that all of them
take a name for the same model.

Where another form of checkpoint is added: names of tensors and published models are a
`CheckpointLayout` and a `Variant` of their family (`fbridge.backbones`); where files lie and what
kind of model they are is decided here. No other module looks for files of a network.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

from fbridge.backbones.families import FAMILIES, family_named
from fbridge.backbones.family import Family
from fbridge.backbones.scratch import find_preset
from fbridge.choices import BOTH
from fbridge.conditioning.prompt_specs import PROMPT_SPECS, prompt_spec_of
from fbridge.errors import CheckpointError
from fbridge.files.base_file import single_file_facts
from fbridge.files.configs import has_component, read_json
from fbridge.files.hub import parse_hub_name
from fbridge.files.low_bit import low_bit_refusal
from fbridge.files.tensors import Header, read_header
from fbridge.files.weight_files import find_weight_file, network_folder
from fbridge.loaders.components import find_components, missing_files, network_config
from fbridge.loaders.detect import Detected, detect
from fbridge.loaders.experts import (
    SECOND,
    Expert,
    check_pair_folder,
    expert_weights,
    find_expert,
    other_file,
)
from fbridge.loaders.locate import ADAPTER, ADAPTER_WEIGHTS, locate_file, locate_model
from fbridge.loaders.noise import SCHEDULER, noise_and_prediction
from fbridge.loaders.refusal import find_refusal, find_remark
from fbridge.loaders.single_file import find_tokenizer, holds_other_parts
from fbridge.loaders.trust import check_adapter, check_bridge
from fbridge.loaders.unsupported import pipeline_kind

SCRATCH = "scratch:"
"""What the name of a network without weights begins with; its preset follows."""
INDEX = "model_index.json"

Kind: TypeAlias = Literal["scratch", "weights", "whole", "base", "pipeline", "bridge", "adapter"]
"""A network without weights; weights of a network alone; a makers' single file with all parts; a
single file of ours; diffusers' text-to-video pipeline; a bridge's pipeline; LoRA of a bridge."""


@dataclass(frozen=True)
class ResolvedModel:
    """What a name means.

    Attributes:
        name: as it was asked for.
        kind: see `Kind`.
        path: of its file or index, or its folder; of none from scratch.
        facts: of a single file of ours, what its header says; of a folder, its `model_index.json`
            or `adapter.json`.
        components: folder of what the weights of a network alone lack; None where it is not known.
        given: the folder or hub id that was named for that.
        detected: which network a file's tensors are.
        remote: the name is a hub id, and not a folder.
        configs_only: the weights may not be here.
        asked_expert: which network of a pair it is said to be; see `loaders.experts`.
        second: of a pair in two files, the network for little noise.
    """

    name: str
    kind: Kind
    path: Path = Path()
    facts: dict[str, Any] = field(default_factory=dict, repr=False)
    components: Path | None = None
    given: str | None = None
    detected: Detected | None = field(default=None, repr=False)
    remote: bool = False
    configs_only: bool = False
    file_header: Header | None = field(default=None, repr=False)
    asked_expert: str | None = None
    second: ResolvedModel | None = field(default=None, repr=False)

    @property
    def pair(self) -> bool:
        """Whether it is both networks of a pair."""
        return self.second is not None or has_component(self.facts, SECOND)

    @property
    def revision(self) -> str | None:
        """The branch, tag or commit of a hub id that names one."""
        found = parse_hub_name(self.name) if self.remote else None
        return None if found is None else found.revision

    @cached_property
    def weights(self) -> Path | None:
        """The file of the network's weights, or the index of its shards; None if it is not here."""
        if self.kind == "adapter":
            return self.path / ADAPTER_WEIGHTS
        return find_weight_file(network_folder(self.path)) if self.path.is_dir() else self.path

    @cached_property
    def header(self) -> Header:
        """Names, shapes and types of the network's tensors; of the configuration's, if not here."""
        if self.file_header is not None:
            return self.file_header
        if self.weights is not None:
            return read_header(self.weights)
        assert self.config is not None, "a folder has one"
        network = self.family.empty_network(self.config)
        shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
        return Header(shapes, dict.fromkeys(shapes, "not here"))

    @cached_property
    def config(self) -> dict[str, Any] | None:
        """The network's configuration; None where neither a file nor its tensors have it."""
        return self.config_with(self.components)

    def config_with(self, components: Path | None) -> dict[str, Any] | None:
        """The same, with the other parts in a folder."""
        if self.kind == "base":
            return dict(self.facts["transformer"])
        if self.detected is None:
            return read_json(network_folder(self.path) / "config.json")
        own = network_config(self.path, components)
        return {**(self.detected.config or {}), **(own or {})} or None

    @cached_property
    def family(self) -> Family:
        """Of the network."""
        if self.kind == "scratch":
            return FAMILIES["SpaceTimeTransformer"]
        if self.detected is not None:
            return self.detected.family
        assert self.config is not None, "a folder and a single file of ours have one"
        return family_named(str(self.config.get("_class_name")))

    @cached_property
    def expert(self) -> Expert:
        """Which of a pair's two networks it is; "" of most models."""
        return find_expert(self)

    @cached_property
    def refused(self) -> str:
        """Why the model cannot be used; "" if it can."""
        return find_refusal(self)

    @property
    def remark(self) -> str:
        """What the model cannot do, though it can be used; "" if there is nothing to say."""
        return find_remark(self)

    @property
    def required(self) -> tuple[str, ...]:
        """Files of a pipeline that the network's weights alone lack."""
        looks = bool(self.detected and (self.detected.config or {}).get("image"))
        more = ["image_encoder/config.json"] if looks else []
        more += [f"{SECOND}/config.json"] if self.pair and self.second is None else []
        return (*self.family.required_files, *more)

    @property
    def lacking(self) -> dict[str, Any]:
        """What the network's weights alone lack, for `fbridge.loaders.components`."""
        assert self.detected is not None, "only weights lack parts"
        return {
            "variant": self.detected.variant,
            "needed": self.required,
            "family": self.family,
            "latents": (self.config or {}).get("out_channels"),
        }

    @cached_property
    def missing(self) -> list[str]:
        """Files that the model cannot be used without and that are not here."""
        if self.kind in ("weights", "whole"):
            missing = [] if self.config is not None else ["transformer/config.json"]
            if self.kind == "weights":
                return missing + (list(self.required) if self.components is None else [])
            found = find_tokenizer(self.path, self.given)
            return missing + ([] if found else ["tokenizer/tokenizer_config.json"])
        if self.kind not in ("pipeline", "bridge"):
            return []
        here = self.weights is not None or self.configs_only
        missing = [] if here else ["transformer/*.safetensors"]
        if self.kind == "pipeline":
            away = self.configs_only
            missing += missing_files(self.path, self.required, configs_only=away)
        return missing

    def noise_and_prediction(self, config: Mapping[str, Any] | None) -> tuple[dict[str, Any], str]:
        """What the network was trained on, for `build_noise_schedule`, and what it predicts.

        As its scheduler says, or of a family without one `config`, the network's own; else the
        prediction that the family is known for, and {}.
        """
        return noise_and_prediction(self, config)

    @property
    def tokens(self) -> int:
        """The most tokens of a prompt that are read; 0 where that is not known."""
        if self.kind == "bridge":
            return int((self.facts.get("reading") or [0])[0])
        if self.kind == "base":
            return 0
        folder = self.path if self.kind == "pipeline" else self.components
        own = None if folder is None else prompt_spec_of(folder)  # those of one family may differ
        names = (*self.family.pipelines, self.family.transformer)
        known = (PROMPT_SPECS[name] for name in names if name in PROMPT_SPECS)
        spec = own or next(known, None)
        return 0 if spec is None else spec.max_tokens

    def find_components(self, *, download: bool) -> Path:
        """The folder with what a network's weights lack; a single file's own parts are unpacked.

        Raises:
            CheckpointError: it is nowhere or incomplete, or it lacks the configuration.
        """
        assert self.detected is not None, "only weights lack parts"
        if self.kind == "whole" and self.config is None:
            raise self._unknown(None)  # before anything is unpacked
        folder = self.components or find_components(
            self.path,
            given=self.given,
            download=download,
            whole=self.kind == "whole",
            **self.lacking,
        )
        if self.config_with(folder) is None:
            raise self._unknown(folder)
        return folder

    def _unknown(self, folder: Path | None) -> CheckpointError:
        assert self.detected is not None, "only weights can be of no known model"
        where = "" if folder is None else f" or in {folder}"
        return CheckpointError(
            f"{self.path}: is of the {self.family.name} family but no published model of it "
            f"({'; '.join(self.detected.differences)}); its transformer/config.json is needed, "
            f"beside it{where}"
        )


def resolve(
    name: str,
    *,
    components: str | None = None,
    expert: str | None = None,
    configs_only: bool = False,
    **options: Any,
) -> ResolvedModel:
    """What a name means.

    Args:
        name: "embedded", "scratch:<preset>", a single file, a network's weights, an index of
            shards, a folder of any of them, of a pipeline, an adapter or a training run, or a hub
            id (`owner/name` or `owner/name@revision`), which is fetched.
        components: folder or hub id with what a network's weights alone lack; None looks beside
            them and in the hub's local cache.
        expert: "low" or "high": which network of a pair (Wan 2.2 A14B) a file is, or is taken;
            "both": the pair of the file and of the other network's beside it.
        configs_only: leave the weights of a hub id where they are.
        options: see `fbridge.files.hub.fetch_snapshot`.

    Raises:
        CheckpointError: there is no such model, it is broken, or of no known family.
        ConfigError: there is no such preset, or an expert is asked for of what is no pair.
    """
    if name.startswith(SCRATCH):
        find_preset(name[len(SCRATCH) :])
        return ResolvedModel(name, "scratch", asked_expert=expert)
    file = locate_file(name)
    if file is not None:
        if expert == BOTH:
            return _resolve_pair(name, file, components)
        return _resolve_file(name, file, components, expert)
    remote = not Path(name).is_dir() and parse_hub_name(name) is not None
    remote = remote and not options.get("local_files_only")  # then its cached folder is meant
    folder = locate_model(name, configs_only=configs_only or remote, **options)
    adapter = (folder / ADAPTER).is_file()
    path = folder / (ADAPTER if adapter else INDEX)
    facts = read_json(path)
    kind: Kind = "adapter" if adapter else pipeline_kind(folder, facts)
    if kind == "adapter":
        check_adapter(path, facts)
    elif kind == "bridge":
        check_bridge(path, facts, folder / SCHEDULER)
    if remote and not configs_only:  # only now, of a kind that is known
        folder = locate_model(name, **options)
    if expert == BOTH:
        check_pair_folder(folder, facts, expert)
    elif expert is not None:
        return _resolve_file(name, expert_weights(folder, facts, expert), str(folder), expert)
    return ResolvedModel(
        name, kind, folder, facts, remote=remote, configs_only=remote and configs_only
    )


def _resolve_pair(name: str, path: Path, given: str | None) -> ResolvedModel:
    """A pair of which one file is named."""
    one = _resolve_file(name, path, given, BOTH)
    _ = one.expert  # raises where it can be none
    side, place = other_file(path)
    other = _resolve_file(str(place), place, given, BOTH)
    networks = [(each.family, each.detected and each.detected.shapes) for each in (one, other)]
    if networks[0] != networks[1]:
        raise CheckpointError(
            f"{place}: is no network of one pair with {path}: its tensors are others; get both "
            "files from one place"
        )
    high, low = (one, other) if side == "high" else (other, one)
    return replace(high, name=name, given=given, second=low)


def _resolve_file(name: str, path: Path, given: str | None, expert: str | None) -> ResolvedModel:
    header = read_header(path)
    facts = single_file_facts(path, header)
    if facts is not None:
        return ResolvedModel(name, "base", path, facts, file_header=header, asked_expert=expert)
    try:
        found = detect(header.shapes)
    except CheckpointError as error:
        why = low_bit_refusal(path, header) or error
        raise CheckpointError(f"{path}: {why}") from error
    parts: dict[str, Any] = {"given": given, "detected": found, "file_header": header}
    parts |= {"asked_expert": expert}
    alone = ResolvedModel(name, "weights", path, **parts)
    whole = holds_other_parts(header.shapes)
    place: Path | None = None
    if given is not None or not whole:
        with suppress(CheckpointError):
            place = find_components(path, given=given, **alone.lacking)
    kind: Kind = "whole" if whole and place is None else "weights"
    return ResolvedModel(name, kind, path, components=place, **parts)
