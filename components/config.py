"""The configuration: params.yaml as one typed, frozen object.

Every key stands here once, with its type, its bounds and what it means, and in params.yaml once, with its
value: there are no defaults here, and a profile names only what it changes (`use_profile`). Unknown and
missing keys are refused by name. The top-level keys are the stages, plus `seed`, `variants`
and `task_runner`.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from components.errors import UserError
from components.variants import VARIANTS

OF_CLIPS = ("video", "msrvtt")  # sources

Variant = Literal[tuple(VARIANTS)]
Positive = Annotated[int, Field(gt=0)]
Rate = Annotated[float, Field(gt=0, le=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """Frozen; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataParams(Section):
    """Stage `prepare`: where pictures and captions come from, and what they must be like.

    All further keys are options of sources: `components.data.sources.source_of` checks them.
    """

    model_config = ConfigDict(extra="allow")

    source: str  # scenes | auto, which looks what lies in the folder | one of data/sources/ by name
    folder: str  # where a user's data lies: DVC prepares again when anything in it changes
    on_invalid: Literal["fail", "quarantine"]
    severity: dict[str, Literal["report", "quarantine", "fail"]]  # of single rules; on_invalid: of all others
    splits: Literal["auto", "given", "complete", "hash"]  # complete: test of half of val; see splits.py
    val_share: Annotated[float, Field(gt=0, lt=0.5)]
    test_share: Annotated[float, Field(gt=0, lt=0.5)]
    seed: int  # of the data set and its splits; the top-level seed is that of training
    licence: str  # goes into the model card
    copy_: bool = Field(alias="copy")  # into shards; false: pictures stay in your files, which must stay, too

    @property
    def options(self) -> dict[str, Any]:
        """Those of the sources, as params.yaml has them."""
        return self.model_extra or {}


class TaskRunnerParams(Section):
    """Where the pieces of `prepare` and `features` are worked on. It changes no result, so neither stage runs
    again for it.
    """

    name: Literal["threads", "dask", "ray"]
    address: str | None  # of a Dask or Ray cluster that sees this folder; none: one made here
    workers: Positive | None  # threads, or processes of a cluster made here; null: what fills the cores


class TowerParams(Section):
    """Stage `towers`: two pre-trained models, each a folder or a name on the Hugging Face hub."""

    clip: Annotated[str, Field(min_length=1)]  # a CLIP or SigLIP
    clip_revision: str | None  # a commit, tag or branch of the hub; null: its main branch
    gpt2: Annotated[str, Field(min_length=1)]
    gpt2_revision: str | None


class MapperParams(Section):
    """The mapping network; `mlp_dim` is the MLP's, the rest the Transformer's."""

    mlp_dim: Positive
    depth: Positive
    heads: Positive
    dim_feedforward: Positive


class ResamplerParams(Section):
    """The perceiver-resampler."""

    depth: Positive
    heads: Positive
    dim_head: Positive
    num_latents: Positive
    num_time_embeds: Positive
    ff_mult: Positive


class CrossAttentionParams(Section):
    """The gated cross-attention before every `every`-th block of GPT-2."""

    heads: Positive
    dim_head: Positive
    ff_mult: Positive
    every: Positive


class ModelParams(Section):
    """The bridge."""

    feature_layer: int
    prefix_length: Positive
    dropout: Annotated[float, Field(ge=0, lt=1)]
    mapper: MapperParams
    resampler: ResamplerParams
    cross_attention: CrossAttentionParams


class FeatureParams(Section):
    """Stage `features`: the frozen vision tower over every image, once."""

    batch_size: Positive  # pictures or frames at a time
    bf16: bool | None  # the tower multiplies in bfloat16; null: on a GPU that does
    cache: bool  # false: keep nothing, encode pixels whenever they are needed
    views: Positive  # of a training image: itself, and augmented ones
    resident: Literal["auto", "gpu", "host", "disk"]  # while training; auto: the fastest with room for them
    readers: Annotated[int, Field(ge=0)]  # ahead of the tower or the step, see params.yaml; 0: none


class DecodingParams(Section):
    """How the trained captioner writes, in the words of `transformers.GenerationConfig`; null is chosen on
    validation captions, see components/training/decoding.py.
    """

    num_beams: Positive | None
    length_penalty: float | None  # of beam search
    no_repeat_ngram_size: Annotated[int, Field(ge=0)] | None  # 0: repetition is allowed
    max_new_tokens: Positive | None  # null: a quarter more than the longest training caption

    @model_validator(mode="after")
    def greedy_search_has_no_length_penalty(self) -> "DecodingParams":
        """It weighs whole beams."""
        if self.num_beams == 1 and self.length_penalty is not None:
            raise ValueError(
                f"num_beams 1 has no use for length_penalty {self.length_penalty}: set one of them to null"
            )
        return self


class TrainParams(Section):
    """Stage `train`: the bridge learns."""

    init: str | None  # a folder (or one a variant in it), models:/NAME/VERSION or @ALIAS
    epochs: Annotated[float, Field(gt=0)] | None  # null: by the data's size, see training/arguments.py
    batch_size: Positive  # examples a step, over all processes and pieces: neither changes the result
    gradient_accumulation_steps: Positive  # pieces of a step, one after another: less memory
    num_processes: Positive  # on this machine, a GPU each (DDP); under torchrun, its number counts
    fsdp: bool  # of several processes: parameters and optimizer state are shared out, too
    optim: Literal["adamw", "muon"]  # muon: AdamW for all but the matrices; not with fsdp
    learning_rate: Rate
    gate_learning_rate: Rate
    lr_scheduler_type: Literal["cosine", "linear", "constant_with_warmup"]
    warmup_ratio: Share
    weight_decay: Annotated[float, Field(ge=0)]
    max_grad_norm: Annotated[float, Field(gt=0)]
    validations: Positive | None  # times that validation captions are scored; null: by the steps
    validation_images: Positive
    bf16: bool | None  # null: on a GPU that multiplies it
    torch_compile: bool  # pays in a long training at full size; needs a C++ compiler on a CPU
    max_tokens: Annotated[int, Field(ge=4)]  # of a training caption: more are cut
    decoding: DecodingParams

    @model_validator(mode="after")
    def muon_sees_whole_matrices(self) -> "TrainParams":
        """It makes a matrix's update orthogonal, which needs all of the matrix."""
        if self.fsdp and self.optim == "muon":
            raise ValueError("optim is muon, which needs whole matrices; fsdp shares them out: take adamw")
        return self

    @model_validator(mode="after")
    def pieces_of_a_step_are_equal(self) -> "TrainParams":
        """Every process sees equally many examples at a time."""
        if self.batch_size % (self.num_processes * self.gradient_accumulation_steps):
            raise ValueError(
                f"batch_size {self.batch_size} is no multiple of num_processes {self.num_processes} x "
                f"gradient_accumulation_steps {self.gradient_accumulation_steps}"
            )
        return self


class EvaluateParams(Section):
    """Stage `evaluate`: captions of the test split, scored. Decoding is the model's own."""

    batch_size: Positive
    bf16: bool  # see components/model/inference.py
    torch_compile: bool
    bootstrap_samples: Annotated[int, Field(ge=100)]


class RegisterParams(Section):
    """Stage `register`: the name in the MLflow registry."""

    name: Annotated[str, Field(min_length=1)]

    @field_validator("name")
    @classmethod
    def the_registry_takes_the_name(cls, name: str) -> str:
        """What MLflow refuses, and what its addresses (models:/NAME@ALIAS) and searches cannot hold."""
        wrong = sorted(set(name) & set("/:@?#%'\"\\"))
        if wrong or name in (".", "..") or name != " ".join(name.split()):
            told = "letters, digits, - and _ will do; no / : @ ? # % \\, quotes, or blanks at its ends"
            raise ValueError(f"{name!r} is no name for MLflow's registry: {told}")
        return name


class Params(Section):
    """All of params.yaml."""

    seed: int
    variants: Annotated[list[Variant], Field(min_length=1)]
    data: DataParams
    towers: TowerParams
    model: ModelParams
    features: FeatureParams
    train: TrainParams
    evaluate: EvaluateParams
    register_: Annotated[RegisterParams, Field(alias="register")]
    task_runner: TaskRunnerParams

    @model_validator(mode="after")
    def every_frame_has_its_time_embedding(self) -> "Params":
        """Found here, not when training begins."""
        frames, known = self.data.options.get("num_frames"), self.model.resampler.num_time_embeds
        if self.data.source in OF_CLIPS and isinstance(frames, int) and frames > known:
            raise ValueError(f"data.num_frames is {frames}, model.resampler.num_time_embeds only {known}")
        return self

    def require_time_embeddings(self, longest: int) -> None:
        """The same, of data whose source was found to be clips, or is another one.

        Args:
            longest: frames of the longest clip; 1 for pictures.

        Raises:
            UserError: it has more frames than a variant with a resampler has time embeddings.
        """
        known = self.model.resampler.num_time_embeds
        if longest > known and any(VARIANTS[variant][1] for variant in self.variants):
            raise UserError(
                f"data/prepared has clips of {longest} frames (data.num_frames), "
                f"model.resampler.num_time_embeds is only {known}: lower the first or raise the second."
            )

    @classmethod
    def load(cls, path: str | Path = "params.yaml", profile: str | Path | None = None) -> "Params":
        """Read `path`, with the changes that the file `profile` makes.

        Raises:
            UserError: no such file, no YAML, an unknown or missing key, a value out of range; all faults at
            once, by key.
        """
        values = _read(path)
        if profile:
            lay_over(values, _read(profile))
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise UserError(explain(error, cls, f"{path} with {profile}" if profile else path)) from None


def lay_over(values: dict[str, Any], changes: dict[str, Any]) -> None:
    """Change `values` in place, at the leaves of `changes`."""
    for key, change in changes.items():
        if isinstance(change, dict) and isinstance(values.get(key), dict):
            lay_over(values[key], change)
        else:
            values[key] = change


def _read(path: str | Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file. Run from the project root, where params.yaml lies.") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path}: a {type(values).__name__}, where keys with values were expected.")
    return values


def explain(
    error: ValidationError, model: type[Section], path: str | Path = "params.yaml", section: str = ""
) -> str:
    """One line a fault: file, key (below `section`, which is a `model`), value, what is allowed."""
    lines, missing = [], []
    for fault in error.errors():
        key = ".".join(filter(None, (section, *map(str, fault["loc"]))))
        if fault["type"] == "missing":
            missing.append(key)
        elif fault["type"] == "extra_forbidden":
            known = ", ".join(_fields_at(model, fault["loc"][:-1]))
            lines.append(f"{path}: unknown key '{key}'. Known here: {known}.")
        elif fault["type"] == "value_error":  # two keys that do not fit: the message names them
            lines.append(f"{path}: {key + ': ' if key else ''}{fault['ctx']['error']}.")
        else:
            lines.append(f"{path}: '{key}' is {fault['input']!r}: {fault['msg']}.")
    if missing:
        lines.append(
            f"{path}: missing: {', '.join(missing)}. Every key must be there; "
            "a profile, which has a few, is laid over params.yaml: python -m flows.use_profile NAME."
        )
    return "\n".join(lines)


def _fields_at(model: type[Section], location: tuple) -> list[str]:
    """The known keys of the section at `location` of a `model`."""
    for part in location:
        model = next(f.annotation for n, f in model.model_fields.items() if part in (n, f.alias))
    return [field.alias or name for name, field in model.model_fields.items()]
