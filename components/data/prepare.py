"""Stage `prepare`: build the data set, check it, describe it, show it, and only then let it appear."""

from pathlib import Path

from components.data.card import write_card
from components.data.contact_sheet import contact_sheet, mixed
from components.data.scenes import build_scenes
from components.data.tables import Tables
from components.data.validate import validate
from components.errors import UserError
from components.files import atomic_path


def prepare(out: str | Path, *, source: str, num_images: int, image_size: int, seed: int) -> Tables:
    """Write a checked data set to `out`: tables, pictures, data card, contact sheet. All of it or nothing.

    Raises:
        UserError: unknown source, or the data has faults; the message names the first of them.
    """
    if source != "scenes":
        raise UserError(f"data.source is {source!r}. Known: scenes.")
    with atomic_path(out) as folder:
        tables = build_scenes(folder, num_images=num_images, image_size=image_size, seed=seed)
        validate(tables).raise_if_faulty()
        write_card(tables, source=source, seed=seed)
        contact_sheet(mixed(tables, 40)).save(folder / "contact_sheet.png")
    return Tables(tables.images, tables.captions, Path(out))
