"""Checkpoints of the reference system -> `CaptionModel`.

    python -m components.model.convert CHECKPOINT OUT_DIR

CHECKPOINT is what the reference's trainer saves: `{"model_state_dict": ..., "model_cfg": ...}`.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from components.errors import UserError
from components.model.captioner import CaptionModel
from components.model.configuration import CaptionConfig

ACTIVATIONS = {"gelu": "gelu", "relu": "relu", "sqrelu": "relu2"}

RENAMED = (
    (r"^mapper\._mapper\.", "mapper.network."),
    (r"^resampler\.time_pos_emb$", "resampler.time_embeds"),
    (r"^resampler\.layers\.(\d+)\.1\.0\.", r"resampler.layers.\1.1.norm."),
    (r"^resampler\.layers\.(\d+)\.1\.1\.", r"resampler.layers.\1.1.up."),
    (r"^resampler\.layers\.(\d+)\.1\.3\.", r"resampler.layers.\1.1.down."),
    (r"\.h\.(\d+)\.lm_block\.", r".h.\1."),
    (r"\.xattn_block\.alpha_attn$", ".gated_cross_attention.attention_gate"),
    (r"\.xattn_block\.alpha_ffw$", ".gated_cross_attention.feed_forward_gate"),
    (r"\.xattn_block\.attn\.layer_norm\.", ".gated_cross_attention.attention.norm."),
    (r"\.xattn_block\.attn\.", ".gated_cross_attention.attention."),
    (r"\.xattn_block\.ffw\.0\.", ".gated_cross_attention.feed_forward.norm."),
    (r"\.xattn_block\.ffw\.1\.", ".gated_cross_attention.feed_forward.up."),
    (r"\.xattn_block\.ffw\.3\.", ".gated_cross_attention.feed_forward.down."),
    (r"^vision_encoder\.vision\.vision_model\.", "vision_encoder.vision."),
)
"""Names of the reference -> ours, in this order."""

BUFFERS = re.compile(r"(\.attn\.(masked_)?bias|\.position_ids)$")
"""Constants that old versions of transformers stored beside the weights."""


def from_reference(state_dict: Mapping[str, Tensor], config: Mapping[str, Any]) -> CaptionModel:
    """A model with the weights of the reference.

    Args:
        state_dict: with the reference's parameter names
        config: `{"config": its configuration, "vision": fields of the vision tower, "text": fields of the decoder}`,
            an entry of the recordings' manifest

    Raises:
        UserError: tensors that are missing, unknown or of another shape, all named.
    """
    model = CaptionModel(config_of_reference(config))
    load_reference(model, state_dict)
    return model.eval()


def config_of_reference(entry: Mapping[str, Any]) -> CaptionConfig:
    """The reference's configuration as a `CaptionConfig`."""
    config, text = entry["config"], dict(entry["text"])
    mapper, resampler, gated = config["mapper"], config["resampler"], config["text"]["xattn"]
    for ours, theirs in (("bos_token_id", "bos"), ("eos_token_id", "eos")):
        if theirs in text:
            text[ours] = text.pop(theirs)
    if resampler["activation"] != gated["activation"]:
        raise UserError(
            "resampler and cross-attention have different activations: this model has one for both."
        )
    return CaptionConfig(
        vision_config={"model_type": "clip_vision_model", **entry["vision"]},
        text_config={"model_type": "gpt2", **text},
        mapper=mapper["mapper_type"] if config["enable_mapper"] else "none",
        resampler=config["enable_resampler_xattn"],
        mapper_dim=mapper["mlp_dim"],
        mapper_depth=mapper["depth"],
        mapper_heads=mapper["heads"],
        mapper_feed_forward=mapper["dim_feedforward"],
        resampler_depth=resampler["depth"],
        resampler_heads=resampler["heads"],
        resampler_head_dim=resampler["dim_head"],
        resampler_ff_mult=resampler["ff_mult"],
        num_latents=resampler["num_latents"],
        num_time_embeds=resampler["num_time_embeds"],
        cross_attention_heads=gated["heads"],
        cross_attention_head_dim=gated["dim_head"],
        cross_attention_ff_mult=gated["ff_mult"],
        cross_attention_every=gated["freq"],
        activation=ACTIVATIONS[resampler["activation"]],
    )


def rename(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our names; the resampler's separate keys and values become one matrix; old buffers are left out."""
    renamed: dict[str, Tensor] = {}
    for name, tensor in state_dict.items():
        if BUFFERS.search(name) and not name.endswith("c_attn.bias"):
            continue
        for pattern, replacement in RENAMED:
            name = re.sub(pattern, replacement, name)
        renamed[name] = tensor
    for name in [name for name in renamed if name.endswith(".to_k.weight")]:
        values = name.replace(".to_k.", ".to_v.")
        if values in renamed:
            renamed[name.replace(".to_k.", ".to_kv.")] = torch.cat((renamed.pop(name), renamed.pop(values)))
    return renamed


def load_reference(model: CaptionModel, state_dict: Mapping[str, Tensor]) -> None:
    """Copy the reference's weights into `model`.

    Raises:
        UserError: what does not fit, all of it.
    """
    renamed, own = rename(state_dict), model.state_dict()
    faults = [f"'{name}' is missing" for name in own if name not in renamed]
    faults += [f"'{name}' is unknown" for name in renamed if name not in own]
    faults += [
        f"'{name}' is {tuple(renamed[name].shape)}, expected {tuple(tensor.shape)}"
        for name, tensor in own.items()
        if name in renamed and renamed[name].shape != tensor.shape
    ]
    if faults:
        raise UserError(f"{len(faults)} tensors do not fit: " + "; ".join(faults))
    model.load_state_dict(renamed)
