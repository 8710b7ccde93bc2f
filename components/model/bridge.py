"""The learned part of the captioner, looked at from outside."""

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D


def is_learned(name: str) -> bool:
    """Whether a tensor of this name in the whole model is the bridge's."""
    return name.startswith(("mapper.", "resampler.")) or "gated_cross_attention." in name


def gates(model: PreTrainedModel) -> dict[str, float]:
    """tanh(alpha) of every gate, 0 = closed: `attention.0`, `feed_forward.0`, ... by decoder block."""
    opened = {}
    for layer, block in model.text_generator.gated.items():
        opened[f"attention.{layer}"] = block.attention_gate.detach().tanh().item()
        opened[f"feed_forward.{layer}"] = block.feed_forward_gate.detach().tanh().item()
    return opened


def hold_towers_in(model: PreTrainedModel, dtype: torch.dtype) -> None:
    """Keep the towers' matrices in `dtype` from now on, for training under autocast to the same type.

    Autocast rounds frozen matrices anew in every step (it remembers only those that learn): on a CPU a
    quarter of a full-size step. The products are the same; only token embeddings, tied to the head, are
    rounded as well.
    """
    learned = set(map(id, model.bridge_parameters()))
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d, Conv1D)) and id(module.weight) not in learned:
            module.weight.data = module.weight.data.to(dtype)
