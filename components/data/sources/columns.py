"""Other people's column names, in one table: which column has the pictures, which the captions.

Names are compared in lower case, blanks as underscores; of several in a file, the first one here is taken.
`caption_0`, `caption_1`, ... stand for the captions of one picture, and so do columns of one name.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from components.errors import UserError

VIDEO = ("video", "clip", "video_path", "video_file", "video_name", "video_id")
IMAGE = (
    *("image", "file_name", "filename", "image_path", "filepath", "file_path", "path", "file"),
    *("image_file", "image_filename", "image_name", "img", "img_path", "img_name", "picture", "photo"),
    *("jpg", "jpeg", "png", "webp", "image_id", "key", "url", "image_url"),
)
CAPTION = (
    *("caption", "captions", "text", "sentence", "sentences", "raw", "title", "description", "comment"),
    *("txt", "alt_text", "annotation", "caption_text", "caption_str", "image_caption", "alt"),
    *("conversations", "messages"),  # of LLaVA and of chats: the answer
    "json",  # of webdataset: its caption
)
SPLIT = ("split", "partition", "set_name")
NUMBERED = re.compile(rf"({'|'.join(CAPTION)})[_.]?\d+")
OF_LANGUAGE = re.compile(rf"(?:{'|'.join(CAPTION)})_[a-z]{{2}}")
"""caption_en: taken if there is only one."""


class Columns(NamedTuple):
    """The columns of a table that are read."""

    image: str
    captions: tuple[str, ...]
    split: str | None


def plain_name(name: object) -> str:
    """A column's name as it is compared: 'Image Name ' is image_name."""
    return "_".join(str(name).lower().split())


def plain_names(record: Mapping[Any, Any]) -> dict[str, Any]:
    """A row with its columns named as they are compared."""
    return {plain_name(name): value for name, value in record.items()}


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
    picture = _one(label, names, "image", image, images)
    split = next((name for name in SPLIT if name in names), None)
    if caption is None and (several := _captions(names)):
        return Columns(picture, several, split)
    return Columns(picture, (_one(label, names, "caption", caption, CAPTION),), split)


def _captions(names: Sequence[str]) -> tuple[str, ...]:
    """The columns with captions, as far as their names say it."""
    of = {name: found[1] for name in names if (found := NUMBERED.fullmatch(name))}
    if plain := next((name for name in CAPTION if name in names), None):
        return plain, *(name for name in of if of[name] == plain)  # caption, caption.1: as pandas writes two
    of_language = tuple(name for name in names if OF_LANGUAGE.fullmatch(name))
    return tuple(of) or (of_language if len(of_language) == 1 else ())


def _one(label: object, names: Sequence[str], role: str, given: str | None, known: tuple[str, ...]) -> str:
    wanted = (plain_name(given),) if given else known
    for name in wanted:
        if name in names:
            return name
    has = f"It has: {', '.join(names)}."
    if given:
        raise UserError(f"{label}: no column {given!r}, which data.{role}_column names. {has}")
    raise UserError(f"{label}: none of the columns {', '.join(known)}. {has} Name it as data.{role}_column.")
