"""Checkpoints of the reference system -> `CaptionModel`.

    python -m components.model.convert CHECKPOINT OUT_DIR

CHECKPOINT is what the reference's trainer saves: `{"model_state_dict": ..., "model_cfg": ...}`. Only tensors
and plain values are read from it; code that the file may hold is not run. OUT_DIR becomes a self-contained
model for `CaptionModel.from_pretrained`.
"""

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from components.errors import UserError
from components.model.captioner import CaptionModel
from components.model.reference import config_of_reference, entry_of_checkpoint
from components.program import command_line
from components.program import main as run_program

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
        config: `{"config": its configuration, "vision": fields of the vision tower, "text": fields of the
            decoder}`, an entry of the recordings' manifest

    Raises:
        UserError: tensors that are missing, unknown or of another shape, all named.
    """
    model = CaptionModel(config_of_reference(config))
    renamed, own = rename(state_dict), model.state_dict()
    faults = [f"'{name}' is missing" for name in own if name not in renamed]
    faults += [f"'{name}' is unknown" for name in renamed if name not in own]
    faults += [
        f"'{name}' is {tuple(renamed[name].shape)}, expected {tuple(tensor.shape)}"
        for name, tensor in own.items()
        if name in renamed and renamed[name].shape != tensor.shape
    ]
    if faults:
        raise UserError(f"{len(faults)} tensors do not fit:\n  " + "\n  ".join(faults))
    model.load_state_dict(renamed)
    return model.eval()


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


def read_checkpoint(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """State dict and configuration from a file of the reference's trainer, without running what it may hold.

    Raises:
        UserError: no such file, no checkpoint, something else than tensors and plain values in it, keys
            missing.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file.") from None
    except pickle.UnpicklingError as error:
        unsafe = re.search(r"GLOBAL (\S+)", str(error))
        held = f"it holds {unsafe[1]}, which could run code" if unsafe else "it is no checkpoint of PyTorch"
        raise UserError(
            f"{path}: not loaded: {held}. Save it again with tensors and plain values only."
        ) from None
    except Exception as error:  # a file of another kind fails in the unpickler in any way whatever
        raise UserError(
            f"{path}: no checkpoint of PyTorch ({type(error).__name__} while reading it)."
        ) from None
    for key in ("model_state_dict", "model_cfg"):
        if not isinstance(checkpoint, dict) or key not in checkpoint:
            raise UserError(f"{path}: no '{key}' in it, as the reference's trainer writes.")
    tensors = checkpoint["model_state_dict"]
    return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}, checkpoint["model_cfg"]


def convert(checkpoint: str | Path, out_dir: str | Path) -> CaptionModel:
    """Read a checkpoint of the reference, write a self-contained `CaptionModel`.

    Raises:
        UserError: a file that is no such checkpoint, tensors that do not fit.
    """
    state_dict, model_cfg = read_checkpoint(checkpoint)
    model = from_reference(state_dict, entry_of_checkpoint(model_cfg, state_dict))
    model.save_pretrained(out_dir, include_towers=True)
    return model


def main() -> None:
    """Convert, and say what became of it."""
    parser = command_line(__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out_dir", type=Path)
    options = parser.parse_args()
    model = convert(options.checkpoint, options.out_dir)
    learned = model.num_parameters(only_trainable=True)
    print(
        f"{options.out_dir}: {model.num_parameters():,} parameters, {learned:,} of them in the bridge; "
        "all tensors fit."
    )
    vision, text = model.config.vision_config, model.config.text_config
    print(f"heads: {vision.num_attention_heads} (vision), {text.num_attention_heads} (text)")


if __name__ == "__main__":
    run_program(main)
