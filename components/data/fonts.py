"""A font that has the letters of a text: Pillow's own has ASCII; most have some scripts, none has all."""

from collections.abc import Iterator
from functools import cache

from PIL import ImageFont

NO_FONT = "(no font of this machine has these letters)"
_ENOUGH = 0.9  # of the letters: a rare one may be missing


def font_for(text: str, size: int) -> ImageFont.FreeTypeFont | None:
    """Pillow's font, else DejaVu, which comes with matplotlib, else the first of the machine's fonts that has
    the letters of `text`; None if none has.
    """
    letters = {ord(letter) for letter in text if letter.isalpha() and not letter.isascii()}
    if not letters:
        return ImageFont.load_default(size)
    found = (path for path in _paths() if len(letters & _letters(path)) >= _ENOUGH * len(letters))
    path = next(found, None)
    return path and ImageFont.truetype(path, size)


def _paths() -> Iterator[str]:
    from matplotlib import font_manager  # imports slowly

    yield font_manager.findfont("DejaVu Sans")
    # "Last Resort", also of matplotlib, has a box for every letter
    yield from sorted({f.fname for f in font_manager.fontManager.ttflist if "Last Resort" not in f.name})


@cache
def _letters(path: str) -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(path).get_charmap())
