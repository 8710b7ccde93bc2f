"""Stage `catalogue`: everything that can stand in a picture, with its names, drawn by several artists.

    python -m pretrained.catalogue

A thing is an emoji of Unicode CLDR: its short name, its keywords, and a drawing (a sprite) in each style
that has one. Written as `things.json` and `sprites.npz`, so that the training after it needs
neither npm nor an SVG renderer.
"""

import io
import json
import random
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import resvg_py
from PIL import Image

from components.data.drawing import pluralize
from components.data.openmoji import NOUNS, drawings

PACKAGES = Path("pretrained/node_modules")
OUT = Path("pretrained/data")

STYLES = (
    "openmoji",
    "twemoji",
    "fluent-emoji-flat",
    "emojione",
    "fxemoji",
    "streamline-emojis",
    "emojione-monotone",
    "fluent-emoji-high-contrast",
    "noto",
)

SIDE = 64  # of a sprite, pixels
CANVAS = 192  # that it is rendered on
INKS = ("#111111", "#26364d", "#4d2626", "#264d33")  # of styles of one colour
PAIRABLE = (3, 4, 5, 6, 7)  # emojibase's groups: animals and nature, food, travel, activities, objects
DIRECTIONS = (" up", " down", " left", " right")
TONES = ("light skin tone", "dark skin tone")


@dataclass
class Thing:
    """One emoji.

    `countable`: there can be two of it in a sentence ('two keys'). `default`: how the default data set speaks
    of it, if it has it (fields of `Drawing`).
    """

    emoji: str
    name: str
    noun: str
    plural: str
    keywords: list[str]
    countable: bool
    default: dict | None = None
    sprites: dict[str, list[int]] = field(default_factory=dict)  # style -> rows of sprites.npz


def things() -> dict[str, Thing]:
    """Slug of the CLDR name -> thing, for all emoji without skin tones, and with the lightest and darkest."""
    annotations = {}
    for package, folder in (("full", "annotations"), ("derived-full", "annotationsDerived")):
        path = PACKAGES / f"cldr-annotations-{package}" / folder / "en" / "annotations.json"
        annotations |= next(iter(json.loads(path.read_text()).values()))["annotations"]
    base = json.loads((PACKAGES / "emojibase-data/en/data.json").read_text())
    group = {_plain(entry["emoji"]): entry.get("group") for entry in base}
    default = {_plain(drawing.emoji): asdict(drawing) for drawing in drawings()}
    found = {}
    for symbol, entry in annotations.items():
        name = entry.get("tts", [""])[0]
        if _plain(symbol) not in group and name.partition(": ")[2] not in TONES:
            continue
        noun = NOUNS.get(name, name)
        found[_slug(name)] = Thing(
            symbol,
            name,
            noun,
            pluralize(noun),
            entry.get("default", []),
            _countable(group.get(_plain(symbol)), noun),
            default.get(_plain(symbol)),
        )
    return found


def _countable(group: int | None, noun: str) -> bool:
    """A noun in the singular: 'grapes', 'sun with face' and 'flag: Japan' are none."""
    plain = re.fullmatch(r"[a-z]+( [a-z]+)?", noun) is not None and not noun.endswith(DIRECTIONS)
    return group in PAIRABLE and plain and not (noun.endswith("s") and not noun.endswith("ss"))


def draw(style: str, slugs: dict[str, Thing], start: int) -> Iterator[tuple[Image.Image, tuple[int, int]]]:
    """Every drawing of `style` that has a name, cut to its ink and fitted into SIDE x SIDE; notes its row."""
    pack = json.loads((PACKAGES / "@iconify-json" / style / "icons.json").read_text())
    colours = random.Random(style)
    for name, icon in pack["icons"].items():
        if name not in slugs:
            continue
        width, height = (icon.get(side, pack.get(side, 16)) for side in ("width", "height"))
        left, top = icon.get("left", 0), icon.get("top", 0)
        body = icon["body"].replace("currentColor", colours.choice(INKS))
        svg = (
            f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="{left} {top} {width} {height}">{body}</svg>'
        )
        png = resvg_py.svg_to_bytes(svg_string=svg, width=CANVAS, skip_system_fonts=True)
        image = Image.open(io.BytesIO(png)).convert("RGBA")
        box = image.getchannel("A").point(lambda alpha: 255 * (alpha > 8)).getbbox()
        if box is None or min(box[2] - box[0], box[3] - box[1]) < CANVAS / 20:
            continue
        slugs[name].sprites.setdefault(style, []).append(start)
        start += 1
        ink = image.crop(box)
        yield _fitted(ink), ink.size


def _fitted(ink: Image.Image) -> Image.Image:
    scale = SIDE / max(ink.size)
    size = [max(1, round(side * scale)) for side in ink.size]
    sprite = Image.new("RGBA", (SIDE, SIDE))
    sprite.paste(ink.resize(size, Image.Resampling.LANCZOS), tuple((SIDE - side) // 2 for side in size))
    return sprite


def _plain(symbol: str) -> str:
    return symbol.replace("\ufe0f", "")


def _slug(name: str) -> str:
    """As iconify names its icons: 'person running: light skin tone' -> person-running-light-skin-tone."""
    return re.sub(r"[^a-z0-9]+", "-", re.sub("[’']", "", name.lower())).strip("-")


def main() -> None:
    """Write things.json and sprites.npz."""
    slugs, sprites, inks = things(), [], []
    OUT.mkdir(exist_ok=True)
    for style in STYLES:
        for sprite, ink in draw(style, slugs, len(sprites)):
            sprites.append(np.asarray(sprite))
            inks.append(ink)
        print(f"{style}: {len(sprites)} sprites so far", flush=True)
    np.savez_compressed(OUT / "sprites.npz", sprites=np.stack(sprites), inks=np.array(inks, np.float32))
    known = [thing for thing in slugs.values() if thing.sprites]
    rows = [asdict(thing) for thing in known]
    (OUT / "things.json").write_text(json.dumps(rows, ensure_ascii=False, indent=0))
    print(f"{len(known)} things, {sum(thing.countable for thing in known)} of them countable")


if __name__ == "__main__":
    main()
