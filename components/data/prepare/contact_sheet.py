"""A page of pictures with their captions, to look at before anything is trained.

python -m components.data.prepare.contact_sheet data/prepared [--out sheet.png] [--split train] [--number 40]
"""

from dataclasses import replace
from pathlib import Path

import pandas as pd
from PIL import Image

from components.data.display import caption_sheet
from components.data.tables import SPLITS, Tables, of_images, read_tables
from components.files import atomic_path
from components.program import command_line
from components.program import main as run_program


def contact_sheet(tables: Tables, number: int = 40, columns: int = 5, captions: int = 3) -> Image.Image:
    """The first `number` pictures of `tables`, each above its first `captions` captions."""
    references, image_ids = tables.references(), list(tables.images["image_id"].head(number))
    return caption_sheet(
        [tables.open_frames(image_id) for image_id in image_ids],
        [[f"- {caption}" for caption in references[image_id][:captions]] for image_id in image_ids],
        columns=columns,
        lines=3,
    )


def mixed(tables: Tables, number: int) -> Tables:
    """About `number` images, an equal part from the start of each split."""
    share = -(-number // len(SPLITS))
    images = pd.concat([tables.images[tables.images["split"] == split].head(share) for split in SPLITS])
    images = images.head(number)
    captions, frames = (of_images(table, images) for table in (tables.captions, tables.frames))
    return replace(tables, images=images, captions=captions, frames=frames)


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
