"""Augmented views of a picture: a small crop and another brightness, so that training sees it in several
ways.

No mirroring: captions say what is left and what is right.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageEnhance

SMALLEST = 0.85  # side of a crop, as a share of the picture's
BRIGHTNESS = 0.85, 1.15


def augment(frames: Sequence[Image.Image], digest: str, view: int) -> list[Image.Image]:
    """View `view` of the picture or clip with the content hash `digest`: a function of these, the same for
    all frames;
    view 0 changes nothing."""
    if view == 0:
        return list(frames)
    rng = np.random.default_rng([view, *digest.encode()])
    share, x, y = rng.uniform(SMALLEST, 1), rng.random(), rng.random()
    brightness = rng.uniform(*BRIGHTNESS)
    return [ImageEnhance.Brightness(_crop(frame, share, x, y)).enhance(brightness) for frame in frames]


def _crop(image: Image.Image, share: float, x: float, y: float) -> Image.Image:
    """The part of `share` of the width and height, at (x, y) of where it can lie, brought back to the full
    size.
    """
    width, height = image.size
    left, top = x * (1 - share) * width, y * (1 - share) * height
    box = (left, top, left + share * width, top + share * height)
    return image.resize(image.size, Image.Resampling.BICUBIC, box=box)
