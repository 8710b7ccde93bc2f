"""A page of pictures with their captions, to look at before anything is trained.

python -m components.data.prepare.contact_sheet data/prepared [--out sheet.png] [--split train] [--number 40]
"""

import textwrap
from pathlib import Path

import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from components.data.tables import SPLITS, Tables, read_tables
from components.files import atomic_path
from components.program import command_line
from components.program import main as run_program

CELL, PICTURE, MARGIN, LINE = 260, 192, 10, 14
CHARACTERS = 40  # of caption that fit into a cell


def contact_sheet(tables: Tables, number: int = 40, columns: int = 5, captions: int = 3) -> Image.Image:
    """The first `number` pictures of `tables`, each above its first `captions` captions."""
    references = tables.references()
    font = ImageFont.load_default(size=11)
    rows = tables.images.head(number)
    cells = [(row.image_id, _lines(references[row.image_id][:captions])) for row in rows.itertuples()]
    height = PICTURE + MARGIN + max(len(lines) for _, lines in cells) * LINE + 2 * MARGIN
    sheet = Image.new("RGB", (columns * CELL, -(-len(cells) // columns) * height), "white")
    pen = ImageDraw.Draw(sheet)
    for cell, (image_id, lines) in enumerate(cells):
        x, y = cell % columns * CELL + MARGIN, cell // columns * height + MARGIN
        sheet.paste(_enlarge(tables.open_image(image_id)), (x, y))
        for offset, line in enumerate(lines):
            pen.text((x, y + PICTURE + MARGIN // 2 + offset * LINE), line, fill="black", font=font)
    return sheet


def _lines(captions: list[str]) -> list[str]:
    return [
        line
        for caption in captions
        for line in textwrap.wrap(f"- {caption}", CHARACTERS, subsequent_indent="   ", max_lines=3)
    ]


def _enlarge(image: Image.Image) -> Image.Image:
    """Fit into the cell: small pictures by whole factors, so that each pixel shows; large ones reduced."""
    factor = PICTURE // max(image.size)
    if factor >= 1:
        return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    image.thumbnail((PICTURE, PICTURE))
    return image


def mixed(tables: Tables, number: int) -> Tables:
    """About `number` images, an equal part from the start of each split."""
    share = -(-number // len(SPLITS))
    images = pd.concat([tables.images[tables.images["split"] == split].head(share) for split in SPLITS])
    return Tables(images.head(number), tables.captions, tables.folder)


def main(arguments: list[str] | None = None) -> None:
    """The command above."""
    parser = command_line(__doc__)
    parser.add_argument("folder", type=Path, help="a prepared data set")
    parser.add_argument("--out", type=Path, help="the page; default: contact_sheet.png in FOLDER")
    parser.add_argument("--split", choices=SPLITS, help="default: a third from each")
    parser.add_argument("--number", type=int, default=40, help="of pictures")
    options = parser.parse_args(arguments)
    out = options.out or options.folder / "contact_sheet.png"
    tables = read_tables(options.folder)
    part = tables.split(options.split) if options.split else mixed(tables, options.number)
    with atomic_path(out) as path:
        contact_sheet(part, options.number).save(path, format="PNG")
    print(out)


if __name__ == "__main__":
    run_program(main)
