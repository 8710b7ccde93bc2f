"""Where the words of a caption looked, from the model's attention maps, and that laid over pictures."""

from collections.abc import Sequence

import numpy as np
from PIL import Image
from torch import Tensor

from components.model import CaptionModel
from components.model.attention_maps import attention_maps
from components.report.content import WordMaps
from components.report.words import Word, split_words

MAP_SIDE = 112  # of a picture with an attention map
FAINT = 0.1  # of the strongest word of a caption: words that have less of their own do not reach full glow


def word_maps(
    model: CaptionModel, image_id: str, variant: str, caption: str, inputs: dict[str, Tensor]
) -> WordMaps:
    """Where each word of a caption looked, function words left out.

    Args:
        model: with a resampler (`attention_maps` raises a `UserError` without one) and its processor.
        caption: what the model said; not empty.
        inputs: the one picture or clip, as the model takes it: {"vision_features": [1 x F x N x D]}.
    """
    input_ids = model.processor(text=caption)["input_ids"].to(model.device)
    words = split_words(model.processor.tokenizer, input_ids[0])
    maps = own_attention(model, input_ids, words, inputs)
    shown = [place for place, word in enumerate(words) if not word.is_function]
    return WordMaps(image_id, variant, [words[place].text for place in shown], maps[shown])


def own_attention(
    model: CaptionModel, input_ids: Tensor, words: Sequence[Word], inputs: dict[str, Tensor]
) -> np.ndarray:
    """How much more than the mean of its caption's words each word attended to each patch, 0 where less.

    All words of a caption look mostly at the same things; what is left without that is the word's own.

    Args:
        input_ids: [1 x L] the caption, from BOS on.
        words: of it, see `split_words`.

    Returns:
        [words x frames x patches] from 0 to 1, the largest of each word 1 unless it is `FAINT`; a lone word's
        attention itself, scaled alike.

    Raises:
        UserError: the model has no resampler.
    """
    images = {name: tensor.to(model.device) for name, tensor in inputs.items()}
    grids = attention_maps(model, input_ids, **images).grids()[0].flatten(start_dim=2)  # [L x F x patches]
    maps = np.stack([grids[word.tokens].mean(dim=0).float().cpu().numpy() for word in words])
    own = (maps - maps.mean(axis=0)).clip(min=0) if len(words) > 1 else maps
    scale = np.maximum(own.max(axis=(1, 2), keepdims=True), FAINT * own.max())
    return own / np.maximum(scale, np.finfo(np.float32).tiny)


def overlay(frames: Sequence[Image.Image], weights: np.ndarray, side: int = MAP_SIDE) -> list[Image.Image]:
    """Lay attention over frames: what was looked at glows, the rest fades to grey.

    Args:
        frames: of a clip, or one picture; their centre squares are what the vision tower saw.
        weights: [frames x patches] from 0 to 1, row by row.
    """
    return [_glow(frame, row, side) for frame, row in zip(frames, weights, strict=True)]


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
