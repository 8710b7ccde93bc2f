"""The frozen image encoder."""

import torch
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel

from components.errors import UserError
from components.model.configuration import CaptionConfig


class VisionEncoder(nn.Module):
    """A CLIP or SigLIP vision tower, read at `config.feature_layer`.

    The tower is frozen: no gradient is recorded in it.
    """

    def __init__(self, config: CaptionConfig, vision: PreTrainedModel | None = None) -> None:
        """Take the given (pretrained) tower, or make one with random weights."""
        super().__init__()
        self.feature_layer = config.feature_layer
        self.vision = vision if vision is not None else AutoModel.from_config(config.vision_config)

    @torch.no_grad()
    def forward(self, pixel_values: Tensor) -> Tensor:
        """Every token of every frame.

        Args:
            pixel_values: [B x F x C x H x W]

        Returns:
            [B x F x N x Dv], for CLIP the class token first. Layer -1 is `last_hidden_state` (CLIP: without
            the post-layernorm, as the reference reads it; SigLIP: with its own), -2 the input of the last
            layer.
        """
        batch, frames, _, height, width = pixel_values.shape
        self._check_size(height, width)
        hidden = self._hidden(pixel_values.flatten(0, 1).to(self.vision.dtype))
        return hidden.unflatten(0, (batch, frames))

    def _hidden(self, pixel_values: Tensor) -> Tensor:
        """[n x C x H x W] -> [n x N x Dv], the hidden states of the chosen layer.

        Not by `output_hidden_states`: what transformers installs for it does not survive pickling, and a
        registered model is pickled. The states of layer k are what layer k + 1 is given.
        """
        if self.feature_layer == -1:
            return self.vision(pixel_values).last_hidden_state
        given: list[Tensor] = []
        reader = self.vision.encoder.layers[self.feature_layer + 1]
        hook = reader.register_forward_pre_hook(lambda _, args: given.append(args[0]))
        try:
            self.vision(pixel_values)
        finally:
            hook.remove()
        return given[0]

    def _check_size(self, height: int, width: int) -> None:
        size = self.vision.config.image_size
        expected = tuple(size) if isinstance(size, (list, tuple)) else (size, size)
        if (height, width) != expected:
            raise UserError(
                f"pixel_values show images of {height} x {width}; this vision tower takes "
                f"{expected[0]} x {expected[1]}. "
                "Prepare the images with this model's CaptionProcessor."
            )
