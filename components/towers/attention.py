"""Which attention a small tower is trained with."""

import torch
from transformers import PreTrainedModel


def choose_attention(model: PreTrainedModel) -> None:
    """Without a GPU, plain matrix products instead of the fused kernel.

    At the few positions of a small tower they are faster: with bfloat16, the backward pass of the CPU's fused
    kernel takes as long as all the rest of a step (measured: CLIP 1.8 times, GPT-2 twice as fast).
    """
    if not torch.cuda.is_available():
        model.set_attn_implementation("eager")
