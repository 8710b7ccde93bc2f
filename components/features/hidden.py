"""Hidden states of a vision tower."""

from threading import get_ident
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel


def read_layer(vision: PreTrainedModel, pixel_values: Tensor, layer: int) -> tuple[Tensor, Any]:
    """Run the tower and look at one of its layers.

    Not by `output_hidden_states`: what transformers installs for it does not survive pickling, and a
    registered model is pickled. The states of layer k are what layer k + 1 is given.

    Args:
        vision: of CLIP or SigLIP.
        pixel_values: [n x C x H x W]
        layer: -1 is `last_hidden_state` (CLIP: before its final layer norm, as the reference reads it;
            SigLIP: after its own), -2 the penultimate layer, ...

    Returns:
        hidden states [n x num_tokens x width], for CLIP the class token first; and the tower's whole output.
    """
    if layer == -1:
        outputs = vision(pixel_values)
        return outputs.last_hidden_state, outputs
    given: dict[int, Tensor] = {}  # by thread: while this one runs, its hook sees the pictures of others, too
    hook = vision.encoder.layers[layer + 1].register_forward_pre_hook(
        lambda _, args: given.__setitem__(get_ident(), args[0])
    )
    try:
        outputs = vision(pixel_values)
    finally:
        hook.remove()
    return given[get_ident()], outputs
