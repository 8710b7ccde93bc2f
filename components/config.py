"""The configuration: params.yaml as one typed, frozen object.

Every key of params.yaml stands here once, with its type, its bounds and what it means; unknown keys are
refused by name.
The top-level keys are the stages, plus `seed` and `variants`.
"""

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from components.errors import UserError

VARIANTS = {
    "mlp": ("mlp", True),
    "transformer": ("transformer", True),
    "mlp-only": ("mlp", False),
    "transformer-only": ("transformer", False),
    "resampler-only": ("none", True),
}
"""Variant -> (mapper, resampler with gated cross-attention?): the rows that the published tables compare."""

Variant = Literal[tuple(VARIANTS)]
Positive = Annotated[int, Field(gt=0)]
Rate = Annotated[float, Field(gt=0, le=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """Frozen; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataParams(Section):
    """Stage `prepare`: where pictures and captions come from, and what they must be like."""

    source: str = "scenes"  # scenes | coco | karpathy | table | video, or one of yours in data/sources/
    folder: str = "raw"  # where a user's data lies: DVC prepares again when anything in it changes
    annotations: str | list[str] | dict[str, str] | None = None  # below `folder`: a file or more
    images: str | dict[str, str] | None = None  # below `folder`: that of the pictures, or one a split
    objects: str | list[str] | dict[str, str] | None = (
        None  # below `folder`: COCO instances, of coco, karpathy
    )
    on_invalid: Literal["fail", "quarantine"] = "fail"
    splits: Literal["auto", "given", "hash"] = "auto"
    val_share: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    test_share: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    seed: int = 0  # of the data set and its splits; the top-level seed is that of training
    num_images: Annotated[int, Field(ge=300)] = 8000  # scenes
    image_size: Annotated[int, Field(ge=32, le=512)] = 64  # scenes
    num_frames: Positive = 8  # video
    licence: str = ""  # goes into the model card

    def files(self) -> dict[str, str | list[str] | dict[str, str] | None]:
        """`annotations`, `images` and `objects` as paths; absolute ones stay what they are."""

        def paths(given):
            if isinstance(given, dict):
                return {split: paths(name) for split, name in given.items()}
            if isinstance(given, list):
                return [paths(name) for name in given]
            return given and str(Path(self.folder) / given)

        return {key: paths(getattr(self, key)) for key in ("annotations", "images", "objects")}

    @model_validator(mode="after")
    def objects_have_a_reader(self) -> "DataParams":
        """Else they would silently be left out."""
        if self.objects and self.source in ("scenes", "table", "video"):
            raise ValueError(f"objects are read by the sources coco and karpathy, source is {self.source}")
        return self


class TowerParams(Section):
    """Stage `towers`: two pre-trained models, each a folder or a name on the Hugging Face hub.

    At full size: openai/clip-vit-base-patch32 and gpt2.
    """

    clip: Annotated[str, Field(min_length=1)] = "pretrained/clip"  # a CLIP or SigLIP
    clip_revision: str | None = None  # a commit, tag or branch of the hub; null: its main branch
    gpt2: Annotated[str, Field(min_length=1)] = "pretrained/gpt2"
    gpt2_revision: str | None = None


class MapperParams(Section):
    """The mapping network; `mlp_dim` is the MLP's, the rest the Transformer's."""

    mlp_dim: Positive = 512
    depth: Positive = 8
    heads: Positive = 8
    dim_feedforward: Positive = 2048


class ResamplerParams(Section):
    """The perceiver-resampler."""

    depth: Positive = 4
    heads: Positive = 6
    dim_head: Positive = 64
    num_latents: Positive = 64
    num_time_embeds: Positive = 500
    ff_mult: Positive = 1


class CrossAttentionParams(Section):
    """The gated cross-attention before every `every`-th block of GPT-2."""

    heads: Positive = 6
    dim_head: Positive = 64
    ff_mult: Positive = 1
    every: Positive = 1


class ModelParams(Section):
    """The bridge. The defaults here are the full-size ones; params.yaml holds those of the embedded run."""

    feature_layer: int = -1
    prefix_length: Positive = 1
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    mapper: MapperParams = MapperParams()
    resampler: ResamplerParams = ResamplerParams()
    cross_attention: CrossAttentionParams = CrossAttentionParams()


class FeatureParams(Section):
    """Stage `features`: the frozen vision tower over every image, once."""

    batch_size: Positive = 128  # pictures or frames at a time
    cache: bool = True  # false: keep nothing, encode pixels whenever they are needed
    views: Positive = 1  # of a training image: itself, and augmented ones
    task_runner: Literal["threads", "dask", "ray"] = "threads"  # what the shards are computed on
    address: str | None = None  # of a Dask or Ray cluster that sees this folder; none: one made here
    workers: Positive = 1  # threads, or processes of a cluster made here; one fills all cores already


class DecodingParams(Section):
    """How the trained captioner writes, in the words of `transformers.GenerationConfig`; null is chosen on
    validation captions, see components/training/decoding.py.
    """

    num_beams: Positive | None = None
    length_penalty: float | None = None  # of beam search
    no_repeat_ngram_size: Annotated[int, Field(ge=0)] | None = None  # 0: repetition is allowed
    max_new_tokens: Positive | None = None  # null: a quarter more than the longest training caption

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

    init: str | None = None  # a folder (or one a variant in it), models:/NAME/VERSION or @ALIAS
    epochs: Annotated[float, Field(gt=0)] | None = 30  # null: by the data's size, see training/schedule.py
    batch_size: Positive = 32  # examples a step, over all processes and pieces: neither changes the result
    gradient_accumulation_steps: Positive = 1  # pieces of a step, one after another: less memory
    num_processes: Positive = 1  # on this machine, a GPU each (DDP); under torchrun, its number counts
    fsdp: bool = False  # of several processes: parameters and optimizer state are shared out, too
    optim: Literal["adamw", "muon"] = "adamw"  # muon: AdamW for all but the matrices; not with fsdp
    learning_rate: Rate = 1e-4
    gate_learning_rate: Rate = 1e-4
    lr_scheduler_type: Literal["cosine", "linear", "constant_with_warmup"] = "cosine"
    warmup_ratio: Share = 0.1
    weight_decay: Annotated[float, Field(ge=0)] = 1e-3
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    validations: Positive | None = 6  # times that validation captions are scored; null: by the steps
    validation_images: Positive = 200
    bf16: bool | None = None  # null: on a GPU that multiplies it
    torch_compile: bool = False  # pays in a long training at full size; needs a C++ compiler on a CPU
    max_tokens: Annotated[int, Field(ge=4)] = 64  # of a training caption: more are cut
    decoding: DecodingParams = DecodingParams()

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

    batch_size: Positive = 64
    bf16: bool = False  # see components/model/inference.py
    torch_compile: bool = False
    bootstrap_samples: Annotated[int, Field(ge=100)] = 2000


class RegisterParams(Section):
    """Stage `register`: the name in the MLflow registry."""

    name: Annotated[str, Field(min_length=1)] = "clip-gpt2-captioner"


class Params(Section):
    """All of params.yaml."""

    seed: int = 0
    variants: list[Variant] = Field(default=["mlp", "transformer"], min_length=1)
    data: DataParams = DataParams()
    towers: TowerParams = TowerParams()
    model: ModelParams = ModelParams()
    features: FeatureParams = FeatureParams()
    train: TrainParams = TrainParams()
    evaluate: EvaluateParams = EvaluateParams()
    register_: RegisterParams = Field(default=RegisterParams(), alias="register")

    @model_validator(mode="after")
    def every_frame_has_its_time_embedding(self) -> "Params":
        """Found here, not when training begins."""
        frames, known = self.data.num_frames, self.model.resampler.num_time_embeds
        if self.data.source == "video" and frames > known:
            raise ValueError(f"data.num_frames is {frames}, model.resampler.num_time_embeds only {known}")
        return self

    @classmethod
    def load(cls, path: str | Path = "params.yaml") -> "Params":
        """Read `path`.

        Raises:
            UserError: no such file, no YAML, an unknown key, a value out of range; all faults at once, by
            key.
        """
        try:
            values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
            return cls.model_validate(values)
        except FileNotFoundError:
            raise UserError(
                f"{path}: no such file. Run from the project root, where params.yaml lies."
            ) from None
        except yaml.YAMLError as error:
            raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
        except ValidationError as error:
            raise UserError("\n".join(_explain(path, fault) for fault in error.errors())) from None


def _explain(path: str | Path, fault: dict) -> str:
    """One line for one of pydantic's faults: file, key, value, what is allowed."""
    key = ".".join(map(str, fault["loc"]))
    if fault["type"] == "extra_forbidden":
        known = _fields_at(fault["loc"][:-1])
        return f"{path}: unknown key '{key}'. Known here: {', '.join(known)}."
    if fault["type"] == "value_error":  # two keys that do not fit: the message names them
        return f"{path}: {key + ': ' if key else ''}{fault['ctx']['error']}."
    return f"{path}: '{key}' is {fault['input']!r}: {fault['msg']}."


def _fields_at(location: tuple) -> list[str]:
    """The known keys of the section at `location`."""
    model: type[BaseModel] = Params
    for part in location:
        model = next(f.annotation for n, f in model.model_fields.items() if part in (n, f.alias))
    return [field.alias or name for name, field in model.model_fields.items()]
