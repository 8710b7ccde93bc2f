"""What a captioner is made of, in the form of `transformers`."""

from collections.abc import Mapping
from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.activations import ACT2FN
from transformers.configuration_utils import SubConfigSpec
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from components.errors import UserError


@strict
class CaptionConfig(PreTrainedConfig):
    """Two frozen towers and the bridge between them; the defaults are the full-size system of the
    description.

    Attributes:
        vision_config: of the image encoder, any tower with `last_hidden_state` over patches (CLIP, SigLIP).
        text_config: of the decoder, any GPT-2.
        mapper: the network that makes the prefix: `mlp`, `transformer`, or `none` (the pooled features
            themselves).
        resampler: perceiver-resampler and gated cross-attention on or off.
        prefix_length: prefix positions a frame.
        feature_layer: index into the vision tower's hidden states; -1 is `last_hidden_state`, -2 the
            penultimate.
        dropout: in the bridge.
        tower_dropout: in the frozen towers while training; 0 keeps them in eval mode.
        mapper_mlp_dim: hidden width of the MLP mapper.
        mapper_depth, mapper_heads, mapper_dim_feedforward: layers, heads and feed-forward width of the
            Transformer mapper.
        resampler_depth, resampler_heads, resampler_dim_head, resampler_ff_mult: of the perceiver-resampler.
        resampler_num_latents: visual tokens that the resampler makes of a clip.
        resampler_num_time_embeds: frames that a clip may have.
        cross_attention_heads, cross_attention_dim_head, cross_attention_ff_mult: of the gated blocks.
        cross_attention_every: a gated block stands before every k-th block of the decoder.
        num_frames: of a clip that it was trained on, at most; 1: pictures. So many of a clip it is shown.
        activation: of the bridge's feed-forward layers, a name that `transformers` knows.
        towers: where the frozen towers came from and the SHA-256 of their tensors:
            `{"vision": {"source": ..., "sha256": ...}, "text": {...}}`.
        includes_towers: whether the checkpoint beside this configuration holds the towers as well.
    """

    model_type = "clip-gpt2-captioner"
    sub_configs_defaults = {
        "vision_config": SubConfigSpec(config_class=AutoConfig, model_type="clip_vision_model"),
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="gpt2"),
    }

    vision_config: dict | PreTrainedConfig | None = None
    text_config: dict | PreTrainedConfig | None = None
    mapper: str = "mlp"
    resampler: bool = True
    prefix_length: int = 1
    feature_layer: int = -1
    dropout: float | int = 0.0
    tower_dropout: float | int = 0.0
    mapper_mlp_dim: int = 512
    mapper_depth: int = 8
    mapper_heads: int = 8
    mapper_dim_feedforward: int = 2048
    resampler_depth: int = 4
    resampler_heads: int = 6
    resampler_dim_head: int = 64
    resampler_ff_mult: int = 1
    resampler_num_latents: int = 64
    resampler_num_time_embeds: int = 500
    cross_attention_heads: int = 6
    cross_attention_dim_head: int = 64
    cross_attention_ff_mult: int = 1
    cross_attention_every: int = 1
    num_frames: int = 1
    activation: str = "gelu"
    towers: dict | None = None
    includes_towers: bool = False
    tie_word_embeddings: bool = True

    def __post_init__(self, **kwargs):
        for name in ("vision_config", "text_config"):
            config = getattr(self, name)
            kind = config.get("model_type") if isinstance(config, dict) else None
            if kind is not None and kind not in CONFIG_MAPPING:  # the user's mistake, not a lookup failure
                raise UserError(
                    f"{name}: unknown backbone '{kind}'. Use a model type that transformers has, such as "
                    "'gpt2'."
                )
        super().__post_init__(**kwargs)
        for name in ("bos_token_id", "eos_token_id"):
            setattr(self, name, getattr(self.text_config, name, None))
        self.vision_config.attention_dropout = self.tower_dropout
        for name in ("embd_pdrop", "attn_pdrop", "resid_pdrop"):
            setattr(self.text_config, name, self.tower_dropout)
        # GPT-2 has no padding token; the attention mask tells padding apart
        self.pad_token_id = self.eos_token_id
        self._check()

    def _check(self) -> None:
        """Refuse what cannot be built.

        Raises:
            UserError: a combination of fields without a meaning, named with its value.
        """
        if self.mapper not in MAPPERS:
            raise UserError(f"mapper is '{self.mapper}'. Choose one of: {', '.join(MAPPERS)}.")
        if self.mapper == "none" and not self.resampler:
            raise UserError(
                "mapper is 'none' and resampler is off: nothing would be learned. Turn one of them on."
            )
        if self.mapper == "none" and self.prefix_length != 1:
            raise UserError(
                f"prefix_length is {self.prefix_length} with mapper 'none', which makes one position a frame."
            )
        if self.text_config.model_type != "gpt2":
            raise UserError(
                f"text_config is of type '{self.text_config.model_type}'. The decoder must be a 'gpt2'."
            )
        if self.activation not in ACT2FN:
            raise UserError(f"activation is '{self.activation}', which transformers does not know.")
        width = self.text_config.hidden_size
        if self.mapper == "transformer" and width % self.mapper_heads:
            raise UserError(
                f"mapper_heads is {self.mapper_heads}, which does not divide the decoder's width {width}."
            )
        layers = self.vision_config.num_hidden_layers
        if not -layers - 1 <= self.feature_layer <= -1:
            raise UserError(
                f"feature_layer is {self.feature_layer}. This tower has layers -1 to {-layers - 1}."
            )
        for name in ("dropout", "tower_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}. It must be at least 0 and below 1.")
        for name in POSITIVE:
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}. It must be at least 1.")


MAPPERS = ("mlp", "transformer", "none")
POSITIVE = (
    "prefix_length", "mapper_mlp_dim", "mapper_depth", "mapper_heads", "mapper_dim_feedforward",
    "resampler_depth", "resampler_heads", "resampler_dim_head", "resampler_ff_mult", 
    "resampler_num_latents", "resampler_num_time_embeds",
    "cross_attention_heads", "cross_attention_dim_head", "cross_attention_ff_mult", "cross_attention_every",
)  # fmt: skip
BRIDGE_FIELDS = POSITIVE + ("mapper", "resampler", "feature_layer", "dropout", "tower_dropout", "activation")
"""The fields that a user chooses; the towers bring the rest."""


def bridge_fields(section: Mapping[str, Any], mapper: str, resampler: bool) -> dict[str, Any]:
    """The block `model` of params.yaml, and a variant, as fields of `CaptionConfig`: `mapper: {depth: 2}` is
    `mapper_depth=2`.

    Args:
        section: nested as in params.yaml.
        mapper: of the variant.
        resampler: of the variant.
    """
    fields: dict[str, Any] = {}
    for name, value in section.items():
        if isinstance(value, Mapping):
            fields |= {f"{name}_{key}": one for key, one in value.items()}
        else:
            fields[name] = value
    return check_bridge_fields(fields | {"mapper": mapper, "resampler": resampler})


def check_bridge_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """`fields`, if each is one that a user may choose.

    Raises:
        UserError: an unknown name.
    """
    if unknown := sorted(set(fields) - set(BRIDGE_FIELDS)):
        raise UserError(f"unknown model field '{unknown[0]}'. Known: {', '.join(sorted(BRIDGE_FIELDS))}.")
    return fields
