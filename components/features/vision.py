"""The frozen vision tower, read at one of its layers: in the captioner, and for the store of features."""

from threading import get_ident
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from components.errors import UserError


class VisionEncoder(nn.Module):
    """A CLIP or SigLIP vision tower. It is frozen: no gradient is recorded in it.

    Args:
        layer: whose hidden states to take: -1 is `last_hidden_state` (CLIP: before its final layer norm, as
            the reference reads it; SigLIP: after its own), -2 the penultimate layer, ...
    """

    def __init__(self, vision: PreTrainedModel, layer: int) -> None:
        super().__init__()
        self.vision, self.layer = vision, layer

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Every token of every frame, for CLIP the class token first.

        [B x F x C x H x W] -> [B x F x N x Dv].

        Raises:
            UserError: images of another size than the tower takes.
        """
        hidden, _ = self.read(pixel_values.flatten(0, 1))
        return hidden.unflatten(0, pixel_values.shape[:2])

    @torch.no_grad()
    def read(self, pixel_values: Tensor) -> tuple[Tensor, Any]:
        """[n x C x H x W] -> hidden states [n x N x Dv], and the tower's whole output.

        Not by `output_hidden_states`: what transformers installs for it does not survive pickling, and a
        registered model is pickled. The states of layer k are what layer k + 1 is given.
        """
        self._check_size(*pixel_values.shape[-2:])
        pixel_values = pixel_values.to(self.vision.dtype)
        if self.layer == -1:
            outputs = self.vision(pixel_values)
            return outputs.last_hidden_state, outputs
        given: dict[int, Tensor] = {}  # by thread: while this one runs, its hook sees the pictures of others
        hook = self.vision.encoder.layers[self.layer + 1].register_forward_pre_hook(
            lambda _, args: given.__setitem__(get_ident(), args[0])
        )
        try:
            outputs = self.vision(pixel_values)
        finally:
            hook.remove()
        return given[get_ident()], outputs

    def _check_size(self, height: int, width: int) -> None:
        size = self.vision.config.image_size
        expected = tuple(size) if isinstance(size, (list, tuple)) else (size, size)
        if (height, width) != expected:
            raise UserError(
                f"pixel_values show images of {height} x {width}; this vision tower takes "
                f"{expected[0]} x {expected[1]}. "
                "Prepare the images with this model's CaptionProcessor."
            )
