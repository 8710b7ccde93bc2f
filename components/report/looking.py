"""Where the words of a caption looked, from the model's attention maps."""

from typing import Any

import numpy as np
from torch import Tensor

from components.model.attention_maps import attention_maps
from components.report.content import WordMaps


def word_maps(
    model: Any, processor: Any, image_id: str, variant: str, caption: str, inputs: dict[str, Tensor]
) -> WordMaps:
    """Attention of each word of a caption over the patches of its frames; a word's tokens are averaged.

    Args:
        model: a `CaptionModel` with a resampler (`attention_maps` raises a `UserError` without one).
        processor: its `CaptionProcessor`.
        caption: what the model said; not empty.
        inputs: the one picture or clip, as the model takes it: {"vision_features": [1 x F x N x D]}.
    """
    input_ids = processor(text=caption)["input_ids"].to(model.device)
    images = {name: tensor.to(model.device) for name, tensor in inputs.items()}
    grids = attention_maps(model, input_ids, **images).grids()[0].flatten(start_dim=2)  # [L x F x patches]
    tokens = [processor.tokenizer.decode([token]) for token in input_ids[0].tolist()]
    groups = _words(tokens, skip={processor.tokenizer.bos_token, processor.tokenizer.eos_token})
    maps = [grids[positions].mean(dim=0).float().cpu().numpy() for _, positions in groups]
    return WordMaps(image_id, variant, [word for word, _ in groups], np.stack(maps))


def _words(tokens: list[str], skip: set[str]) -> list[tuple[str, list[int]]]:
    """Tokens -> (word, positions of its tokens): a token with a leading space begins a word."""
    words: list[tuple[str, list[int]]] = []
    for position, token in enumerate(tokens):
        if token in skip or not token.strip():
            continue
        if words and not token.startswith(" "):
            word, positions = words[-1]
            words[-1] = (word + token, [*positions, position])
        else:
            words.append((token.strip(), [position]))
    return words
