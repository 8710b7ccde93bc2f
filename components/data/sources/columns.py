"""Other people's column names, in one table: which column has the pictures, which the captions.

Names are compared in lower case; of several in a file, the first one here is taken. `caption_0`, `caption_1`,
... stand for the captions of one picture.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from components.errors import UserError

VIDEO = ("video", "clip", "video_path", "video_file", "video_name", "video_id")
IMAGE = (
    *("image", "file_name", "filename", "image_path", "filepath", "file_path", "path", "file"),
    *("image_file", "image_filename", "image_name", "img", "img_path", "img_name", "picture", "photo"),
    *("jpg", "jpeg", "png", "webp", "image_id", "key", "url", "image_url"),
)
CAPTION = (
    *("caption", "captions", "text", "sentence", "sentences", "raw", "title", "description", "comment"),
    *("txt", "alt_text", "annotation"),
)
SPLIT = ("split", "partition")
NUMBERED = re.compile(rf"(?:{'|'.join(CAPTION)})_?\d+")


class Columns(NamedTuple):
    """The columns of a table that are read; `split` is '' where there is none."""

    image: str
    captions: tuple[str, ...]
    split: str


def choose(
    label: object,
    names: Sequence[str],
    image: str | None = None,
    caption: str | None = None,
    images: tuple[str, ...] = IMAGE,
) -> Columns:
    """The columns of the table `label` among its `names`.

    Args:
        image, caption: what the user says: data.image_column, data.caption_column
        images: known names of the pictures' column

    Raises:
        UserError: no such column; names those that are there.
    """
    numbered = tuple(name for name in names if NUMBERED.fullmatch(name))
    plain = next((name for name in CAPTION if name in names), None)
    picture = _one(label, names, "image", image, images)
    one = caption or plain or not numbered
    captions = (_one(label, names, "caption", caption, CAPTION),) if one else numbered
    split = next((name for name in SPLIT if name in names), "")
    return Columns(picture, captions, split)


def _one(label: object, names: Sequence[str], role: str, given: str | None, known: tuple[str, ...]) -> str:
    wanted = (given.strip().lower(),) if given else known
    for name in wanted:
        if name in names:
            return name
    has = f"It has: {', '.join(names)}."
    if given:
        raise UserError(f"{label}: no column {given!r}, which data.{role}_column names. {has}")
    raise UserError(f"{label}: none of the columns {', '.join(known)}. {has} Name it as data.{role}_column.")
