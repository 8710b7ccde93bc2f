"""The frozen image encoder."""

import torch
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel

from components.errors import UserError
from components.features.hidden import read_layer
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
            [B x F x N x Dv], see `read_layer`
        """
        batch, frames, _, height, width = pixel_values.shape
        self._check_size(height, width)
        frames_in_a_row = pixel_values.flatten(0, 1).to(self.vision.dtype)
        hidden, _ = read_layer(self.vision, frames_in_a_row, self.feature_layer)
        return hidden.unflatten(0, (batch, frames))

    def _check_size(self, height: int, width: int) -> None:
        size = self.vision.config.image_size
        expected = tuple(size) if isinstance(size, (list, tuple)) else (size, size)
        if (height, width) != expected:
            raise UserError(
                f"pixel_values show images of {height} x {width}; this vision tower takes "
                f"{expected[0]} x {expected[1]}. "
                "Prepare the images with this model's CaptionProcessor."
            )
