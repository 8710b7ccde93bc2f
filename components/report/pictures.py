"""Pictures that live inside the page, and attention maps laid over them."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from components.data.pictures import data_url

SHOWN = 256  # longest side of a picture on the page
PNG_LIMIT = 26_690  # characters: 20,000 bytes in base64
MAP_SIDE = 112  # of a picture with an attention map


def data_uri(image: Image.Image, longest: int = SHOWN) -> str:
    """The picture as a `data:` URI, shrunk to `longest`: small ones (drawings) as PNG, others as JPEG."""
    image = image.convert("RGB")
    image.thumbnail((longest, longest))
    png = data_url(image, "PNG", optimize=True)
    return png if len(png) <= PNG_LIMIT else data_url(image, "JPEG", quality=90, subsampling=0)


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
