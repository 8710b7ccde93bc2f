"""How a picture looks, in four figures: a hash that near twins share, and what tells a failed photograph.

All are taken from one small grey copy, so that they cost little beside decoding.
"""

from dataclasses import dataclass

import imagehash
import numpy as np
from PIL import Image

SIDE = 96  # pixels of the grey copy's shorter side, at least: what is finer, no tower sees
HASH_SIZE = 16  # frequencies a side


@dataclass(frozen=True)
class Look:
    """Of a clip, of the frame in its middle.

    Attributes:
        phash: perceptual hash of 256 bits (pHash: signs of the low frequencies), as hexadecimal digits
        brightness: mean grey, 0 to 255
        contrast: standard deviation of grey, 0 to 127.5
        sharpness: detail of one or two pixels of the grey copy over detail twice as coarse; 1/4 when blurred,
            1/2 at clear edges, 1 and more in textures; nan where there is no detail at all
    """

    phash: str
    brightness: float
    contrast: float
    sharpness: float


def look_at(picture: Image.Image) -> Look:
    """Of an RGB picture of at least 8 x 8 pixels."""
    grey = picture.convert("L")
    grey = grey.reduce(max(1, min(grey.size) // SIDE))
    pixels = np.asarray(grey, dtype=np.float32)
    fine, coarse = _detail(pixels), _detail(np.asarray(grey.reduce(2), dtype=np.float32))
    tiny = grey.resize((2 * HASH_SIZE, 2 * HASH_SIZE), Image.Resampling.BILINEAR)
    bits = imagehash.phash(tiny, HASH_SIZE, highfreq_factor=2).hash
    return Look(
        np.packbits(bits).tobytes().hex(),
        float(pixels.mean()),
        float(pixels.std()),
        fine / coarse if coarse else float("nan"),
    )


def _detail(pixels: np.ndarray) -> float:
    """Mean square of the differences inside of blocks of 2 x 2, the finest step of a Haar transform."""
    height, width = (side // 2 * 2 for side in pixels.shape)
    rows = pixels[0:height:2] - pixels[1:height:2]
    columns = pixels[:, 0:width:2] - pixels[:, 1:width:2]
    return float(np.vdot(rows, rows) / rows.size + np.vdot(columns, columns) / columns.size)
