"""Where the words of a caption looked, from the model's attention maps, and that laid over pictures."""

from collections.abc import Sequence

import numpy as np
from PIL import Image
from torch import Tensor

from components.model import CaptionModel
from components.model.attention_maps import attention_maps
from components.report.content import WordMaps

MAP_SIDE = 112  # of a picture with an attention map


def word_maps(
    model: CaptionModel, image_id: str, variant: str, caption: str, inputs: dict[str, Tensor]
) -> WordMaps:
    """Attention of each word of a caption over the patches of its frames; a word's tokens are averaged.

    Args:
        model: with a resampler (`attention_maps` raises a `UserError` without one) and its processor.
        caption: what the model said; not empty.
        inputs: the one picture or clip, as the model takes it: {"vision_features": [1 x F x N x D]}.
    """
    tokenizer, input_ids = model.processor.tokenizer, model.processor(text=caption)["input_ids"]
    input_ids = input_ids.to(model.device)
    images = {name: tensor.to(model.device) for name, tensor in inputs.items()}
    grids = attention_maps(model, input_ids, **images).grids()[0].flatten(start_dim=2)  # [L x F x patches]
    tokens = [tokenizer.decode([token]) for token in input_ids[0].tolist()]
    groups = _words(tokens, skip={tokenizer.bos_token, tokenizer.eos_token})
    maps = [grids[positions].mean(dim=0).float().cpu().numpy() for _, positions in groups]
    # a token may be part of a character, so a word is decoded whole
    words = [tokenizer.decode(input_ids[0, positions]).strip() for _, positions in groups]
    return WordMaps(image_id, variant, words, np.stack(maps))


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


def overlay(frames: Sequence[Image.Image], weights: np.ndarray, side: int = MAP_SIDE) -> list[Image.Image]:
    """Lay attention over frames: what was looked at glows, the rest fades to grey.

    Args:
        frames: of a clip, or one picture; their centre squares are what the vision tower saw.
        weights: [frames x patches], row by row; scaled here from their own minimum to their own maximum.
    """
    spread = float(weights.max() - weights.min())
    heat = (weights - weights.min()) / spread if spread > 0 else np.zeros_like(weights)
    return [_glow(frame, row, side) for frame, row in zip(frames, heat, strict=True)]


def _glow(image: Image.Image, heat: np.ndarray, side: int) -> Image.Image:
    """One frame with its heat [patches] between 0 and 1."""
    grid = int(round(len(heat) ** 0.5))
    small = Image.fromarray(np.uint8(255 * heat.reshape(grid, grid)))
    heat = np.asarray(small.resize((side, side), Image.Resampling.BICUBIC), dtype=np.float32)[..., None] / 255
    picture = np.asarray(_square(image, side), dtype=np.float32)
    grey = picture.mean(axis=-1, keepdims=True) * 0.35 + 130
    shown = picture * heat + grey * (1 - heat)
    shown += (np.array([255.0, 150.0, 40.0]) - shown) * 0.15 * heat  # a little warmth, for plain grounds
    return Image.fromarray(np.uint8(shown.clip(0, 255)))


def _square(image: Image.Image, side: int) -> Image.Image:
    """The centre square, as CLIP's preprocessing crops it."""
    width, height = image.size
    short = min(width, height)
    left, top = (width - short) // 2, (height - short) // 2
    box = (left, top, left + short, top + short)
    return image.convert("RGB").crop(box).resize((side, side), Image.Resampling.BICUBIC)
