"""The learned part of the captioner, told apart from the frozen one."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D


def is_learned(name: str) -> bool:
    """Whether a tensor of this name in the whole model is the bridge's."""
    return name.startswith(("mapper.", "resampler.")) or "gated_cross_attention." in name


class BridgeMixin:
    """Freezing, and access to what learns."""

    def freeze_towers(self) -> None:
        """Everything outside the bridge stops asking for gradients; so optimizers never see it."""
        bridge = {id(parameter) for part in self.bridge_modules() for parameter in part.parameters()}
        for parameter in self.parameters():
            parameter.requires_grad_(id(parameter) in bridge)

    def bridge_modules(self) -> list[nn.Module]:
        """Mapper, resampler, and the gated cross-attentions."""
        parts = [self.mapper, self.resampler, *self.text_generator.gated.values()]
        return [part for part in parts if part is not None]

    def named_bridge_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The learned parameters with their names in the whole model."""
        bridge = {id(parameter) for part in self.bridge_modules() for parameter in part.parameters()}
        return ((name, parameter) for name, parameter in self.named_parameters() if id(parameter) in bridge)

    def bridge_parameters(self) -> Iterator[nn.Parameter]:
        """The learned parameters: what an optimizer takes."""
        return (parameter for _, parameter in self.named_bridge_parameters())

    def bridge_state_dict(self) -> dict[str, Tensor]:
        """The learned tensors: what a checkpoint holds."""
        return {name: parameter.detach() for name, parameter in self.named_bridge_parameters()}

    def frozen_names(self) -> set[str]:
        """Names of the towers' tensors: what a checkpoint of the bridge leaves out."""
        return set(self.state_dict()) - set(self.bridge_state_dict())

    def hold_towers_in(self, dtype: torch.dtype) -> None:
        """Keep the towers' matrices in `dtype` from now on, for training under autocast to the same type.

        Autocast rounds frozen matrices anew in every step (it remembers only those that learn): on a CPU a
        quarter of a full-size step. The products are the same; only token embeddings, tied to the head, are
        rounded as well.
        """
        learned = set(map(id, self.bridge_parameters()))
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d, Conv1D)) and id(module.weight) not in learned:
                module.weight.data = module.weight.data.to(dtype)

    def gates(self) -> dict[str, float]:
        """tanh(alpha) of every gate, 0 = closed: `attention.0`, `feed_forward.0`, ... by decoder block."""
        opened = {}
        for layer, block in self.text_generator.gated.items():
            opened[f"attention.{layer}"] = block.attention_gate.detach().tanh().item()
            opened[f"feed_forward.{layer}"] = block.feed_forward_gate.detach().tanh().item()
        return opened

    def train(self, mode: bool = True) -> "BridgeMixin":
        """Frozen means eval too: without `tower_dropout`, only the bridge enters training mode."""
        super().train(mode)
        if mode and not self.config.tower_dropout:
            self.vision_encoder.eval()
            self.text_generator.eval()
            for block in self.text_generator.gated.values():
                block.train()
        return self
