"""How a picture looks, in four figures: a hash that near twins share, and what tells a failed photograph.

All are taken from one small grey copy, a `Glimpse`, and of many copies at once: where threads decode, each
small step on its own costs more in waiting for the interpreter than in work.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.fft import dct

SIDE = 96  # pixels of the grey copy's shorter side, at least: what is finer, no tower sees
HASH_SIZE = 16  # frequencies a side
TOGETHER = 8  # copies that fit into a processor's cache
ROUNDED = 6
"""Decimals of a frequency: what is nothing in a symmetrical picture is not left to rounding."""


@dataclass(frozen=True)
class Glimpse:
    """Grey copies of a picture, as bytes.

    Attributes:
        grey: [height x width], the shorter side `SIDE` to twice as long, or as the picture's if that is less
        tiny: [32 x 32]
    """

    grey: np.ndarray
    tiny: np.ndarray


@dataclass(frozen=True)
class Look:
    """Of a clip, of the frame in its middle.

    Attributes:
        phash: perceptual hash of 256 bits (pHash: signs of the low frequencies, as `imagehash.phash` has
            them), as hexadecimal digits
        brightness: mean grey, 0 to 255
        contrast: standard deviation of grey, 0 to 127.5
        sharpness: detail of one or two pixels of the grey copy over detail twice as coarse; 1/4 when blurred,
            1/2 at clear edges, 1 and more in textures; nan where there is no detail at all
    """

    phash: str
    brightness: float
    contrast: float
    sharpness: float


def glimpse_of(picture: Image.Image) -> Glimpse:
    """Of an RGB picture of at least 8 x 8 pixels."""
    grey = picture.convert("L")
    grey = grey.reduce(max(1, min(grey.size) // SIDE))
    tiny = grey.resize((2 * HASH_SIZE, 2 * HASH_SIZE), Image.Resampling.BILINEAR)
    return Glimpse(np.asarray(grey), np.asarray(tiny))


def look_at(glimpses: Sequence[Glimpse]) -> list[Look]:
    """The look of each, in order; a few of one size together."""
    looks: dict[int, Look] = {}
    by_size: dict[tuple[int, ...], list[int]] = {}
    for index, glimpse in enumerate(glimpses):
        by_size.setdefault(glimpse.grey.shape, []).append(index)
    for same in by_size.values():
        for start in range(0, len(same), TOGETHER):
            some = same[start : start + TOGETHER]
            looks |= zip(some, _look_at([glimpses[index] for index in some]), strict=True)
    return [looks[index] for index in range(len(glimpses))]


def _look_at(glimpses: Sequence[Glimpse]) -> Iterator[Look]:
    """Of one size all."""
    grey = np.stack([glimpse.grey for glimpse in glimpses])
    hashes = perceptual_hashes(np.stack([glimpse.tiny for glimpse in glimpses]))
    brightness = grey.mean(axis=(1, 2))
    contrast = grey.std(axis=(1, 2), dtype=np.float32)
    return map(Look, hashes, brightness.tolist(), contrast.tolist(), _sharpness(grey).tolist())


def perceptual_hashes(tiny: np.ndarray) -> list[str]:
    """pHash of each of grey pictures [n x 32 x 32]: which low frequencies lie above their median."""
    low = dct(dct(tiny.astype(np.float64), axis=1), axis=2)[:, :HASH_SIZE, :HASH_SIZE]
    low = low.reshape(len(tiny), -1).round(ROUNDED)
    bits = low > np.median(low, axis=1, keepdims=True)
    return [row.tobytes().hex() for row in np.packbits(bits, axis=1)]


def _sharpness(grey: np.ndarray) -> np.ndarray:
    pixels = _even(grey.astype(np.float32))
    halved = (pixels[:, ::2, ::2] + pixels[:, ::2, 1::2] + pixels[:, 1::2, ::2] + pixels[:, 1::2, 1::2]) / 4
    fine, coarse = _detail(pixels), _detail(_even(halved))
    return fine / np.where(coarse > 0, coarse, np.nan)


def _even(pixels: np.ndarray) -> np.ndarray:
    """Without a last row or column that has no neighbour."""
    height, width = (side // 2 * 2 for side in pixels.shape[1:])
    return pixels[:, :height, :width]


def _detail(pixels: np.ndarray) -> np.ndarray:
    """Mean square of the differences inside of blocks of 2 x 2, the finest step of a Haar transform."""
    rows = pixels[:, ::2] - pixels[:, 1::2]
    columns = pixels[:, :, ::2] - pixels[:, :, 1::2]
    return sum(np.einsum("nij,nij->n", each, each) / each[0].size for each in (rows, columns))
