"""What the drawings stand on: eleven colours, plain or with one of five patterns."""

from typing import NamedTuple

import numpy as np
from PIL import Image

COLOURS = {
    "white": (250, 250, 250),
    "yellow": (255, 232, 120),
    "orange": (248, 172, 96),
    "pink": (250, 178, 208),
    "purple": (190, 160, 232),
    "blue": (138, 188, 250),
    "green": (152, 214, 134),
    "grey": (164, 164, 168),
    "red": (238, 112, 104),
    "brown": (188, 146, 108),
    "turquoise": (96, 212, 202),
}
"""Bright enough that the drawings' black outlines stand out."""

PATTERNS = ("plain", "striped", "dotted", "checked", "wavy", "framed")
PERIOD = 0.25  # of a pattern, as a share of the picture
FRAME = 1 / 16  # its width, likewise
CONTRAST = 26  # between pattern and ground, of 255: seen at a glance, and weaker than any drawing


class Ground(NamedTuple):
    """A colour and a pattern."""

    colour: str
    pattern: str

    @property
    def phrase(self) -> str:
        """'blue', 'striped blue'."""
        return self.colour if self.pattern == "plain" else f"{self.pattern} {self.colour}"


GROUNDS = tuple(Ground(colour, pattern) for colour in COLOURS for pattern in PATTERNS)


def paint(ground: Ground, size: int, rng: np.random.Generator) -> Image.Image:
    """`size` x `size` pixels of `ground`, RGB; its shade and where its pattern begins vary with `rng`."""
    shade = np.array(COLOURS[ground.colour]) + rng.integers(-8, 9, 3)
    start = rng.uniform(0, PERIOD, 2)
    ys, xs = (np.indices((size, size)) + 0.5) / size
    darker = _pattern(ground.pattern, xs, ys, start)
    pixels = shade - CONTRAST * darker[..., None]
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _pattern(name: str, x: np.ndarray, y: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Where the pattern is darker than its ground; `x`, `y` and `start` are shares of the picture."""
    if name == "framed":
        return np.minimum.reduce((x, y, 1 - x, 1 - y)) < FRAME
    y, x = (y + start[0]) / PERIOD, (x + start[1]) / PERIOD  # they count periods
    if name == "striped":
        return (x + y) % 1 < 0.5
    if name == "dotted":
        return np.hypot(x % 1 - 0.5, y % 1 - 0.5) < 0.28
    if name == "checked":
        return (x % 1 < 0.5) != (y % 1 < 0.5)
    if name == "wavy":
        return (2 * y + 0.35 * np.sin(2 * np.pi * x)) % 1 < 0.5
    return np.zeros_like(x, dtype=bool)
