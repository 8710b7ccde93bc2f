"""The reference system's configuration, as its checkpoints carry it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import PreTrainedConfig

from components.errors import UserError
from components.model.configuration import CaptionConfig, bridge_fields
from components.model.summary import FULL_SIZE
from components.model.towers import tower_config, vision_config_of

ACTIVATIONS = {"gelu": "gelu", "relu": "relu", "sqrelu": "relu2"}
"""Names of the reference -> names of transformers."""


def config_of_reference(entry: Mapping[str, Any]) -> CaptionConfig:
    """`{"config": the reference's, "vision": fields of the tower, "text": fields of the decoder}` ->
    `CaptionConfig`.

    Raises:
        UserError: a key is missing or has a value that this model cannot have.
    """
    try:
        return _translate(entry["config"], entry["vision"], entry["text"])
    except KeyError as error:
        raise UserError(f"the reference's configuration lacks the key {error}.") from None


def _translate(config: Mapping[str, Any], vision: Any, text: Any) -> CaptionConfig:
    mapper, resampler, gated = config["mapper"], config["resampler"], config["text"]["xattn"]
    if resampler["activation"] != gated["activation"] or resampler["activation"] not in ACTIVATIONS:
        raise UserError(
            f"activations '{resampler['activation']}' (resampler), '{gated['activation']}' (text): "
            f"this model takes one for both, of {', '.join(ACTIVATIONS)}."
        )
    sizes = ("depth", "heads", "dim_head", "ff_mult", "num_latents", "num_time_embeds")
    section = {
        "mapper": {key: mapper[key] for key in ("mlp_dim", "depth", "heads", "dim_feedforward")},
        "resampler": {key: resampler[key] for key in sizes},
        "cross_attention": {key: gated[key] for key in ("heads", "dim_head", "ff_mult")},
        "cross_attention_every": gated["freq"],
        "activation": ACTIVATIONS[resampler["activation"]],
    }
    kind = mapper["mapper_type"] if config["enable_mapper"] else "none"
    return CaptionConfig(
        vision_config=_tower(vision, "clip_vision_model", {}),
        text_config=_tower(text, "gpt2", {"bos": "bos_token_id", "eos": "eos_token_id"}),
        **bridge_fields(section, kind, config["enable_resampler_xattn"]),
    )


def _tower(fields: Mapping[str, Any] | PreTrainedConfig, kind: str, renamed: dict[str, str]) -> Any:
    if isinstance(fields, PreTrainedConfig):
        return fields
    return {"model_type": kind} | {renamed.get(name, name): value for name, value in fields.items()}


def entry_of_checkpoint(model_cfg: Mapping[str, Any], state_dict: Mapping[str, Tensor]) -> dict[str, Any]:
    """`model_cfg` of a checkpoint -> the form that `config_of_reference` takes.

    The reference stores only the names of its towers. A name that is known here, or that is a folder, has a
    configuration; of any other tower the tensors give every size but the number of heads, which is taken to
    be one for each 64 of the width, as in all published CLIP and GPT-2 models, and at least four.
    """
    if "config" in model_cfg:
        return dict(model_cfg)
    try:
        names = model_cfg["vision"]["pretrained_name"], model_cfg["text"]["pretrained_name"]
    except (KeyError, TypeError):
        raise UserError(
            "model_cfg lacks vision.pretrained_name or text.pretrained_name: not the reference's."
        ) from None
    vision = _known(names[0], vision_config_of) or _vision_of(state_dict)
    text = _known(names[1], tower_config) or _text_of(state_dict)
    return {"config": model_cfg, "vision": vision, "text": text}


def _known(name: str, read: Any) -> PreTrainedConfig | None:
    if name in FULL_SIZE:
        return FULL_SIZE[name]()
    return read(name) if Path(name).is_dir() else None


def _vision_of(state_dict: Mapping[str, Tensor]) -> dict[str, int]:
    """Fields of a CLIP vision tower from its tensors."""
    root = "vision_encoder.vision.vision_model."
    positions = _named(state_dict, root + "embeddings.position_embedding.weight")
    patches = len(positions) - 1  # one is the class token
    width, _, patch, _ = _named(state_dict, root + "embeddings.patch_embedding.weight").shape
    return {
        "hidden_size": width,
        "intermediate_size": _named(state_dict, root + "encoder.layers.0.mlp.fc1.weight").shape[0],
        "num_hidden_layers": _layers(state_dict, root + "encoder.layers."),
        "num_attention_heads": _heads(width),
        "image_size": round(patches**0.5) * patch,
        "patch_size": patch,
    }


def _text_of(state_dict: Mapping[str, Tensor]) -> dict[str, int]:
    """Fields of a GPT-2 from its tensors; the last token is BOS and EOS, as in GPT-2."""
    root = "text_generator.lm.transformer."
    vocabulary, width = _named(state_dict, root + "wte.weight").shape
    return {
        "n_embd": width,
        "n_layer": _layers(state_dict, root + "h."),
        "n_head": _heads(width),
        "n_positions": _named(state_dict, root + "wpe.weight").shape[0],
        "vocab_size": vocabulary,
        "bos": vocabulary - 1,
        "eos": vocabulary - 1,
    }


def _named(state_dict: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in state_dict:
        raise UserError(f"the checkpoint has no tensor '{name}': not one of the reference system.")
    return state_dict[name]


def _layers(state_dict: Mapping[str, Tensor], root: str) -> int:
    return 1 + max(
        (int(name[len(root) :].split(".")[0]) for name in state_dict if name.startswith(root)), default=-1
    )


def _heads(width: int) -> int:
    return max(4, width // 64)
