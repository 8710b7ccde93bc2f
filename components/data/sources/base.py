"""What a source of pictures and captions is: one small class that reads its format into two plain tables.

A new source is one file in this folder:

    class MyFormat(Source):
        name = "my-format"

        def read(self, workdir): return raw_tables(image_rows, caption_rows, root=...)
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from components.data.ingest import Found, ingest_picture
from components.errors import UserError


@dataclass(frozen=True)
class Options:
    """The keys under `data:` in params.yaml that sources read; each source takes those that it needs."""

    annotations: str | list[str] | dict[str, str] | None = None  # file, files, or split -> file
    images: str | None = None  # folder that file names are relative to
    num_images: int = 14000  # scenes: how many to draw
    image_size: int = 64  # scenes: pixels a side
    num_frames: int = 8  # video: frames a clip
    seed: int = 0


@dataclass(frozen=True)
class Raw:
    """Tables as a source gives them, faults included.

    images: image_id, file (relative to `root`), split (missing where the source has none), row
    ("captions.json:
        images[3]"), and columns of the source's own, of which `group` keeps images together in one split
    captions: image_id, caption, row
    root: the folder of the pictures
    """

    images: pd.DataFrame
    captions: pd.DataFrame
    root: Path = field(default_factory=Path)


Records = list[dict[str, Any]] | dict[str, list[Any]]
"""Rows, or columns."""


class Source(ABC):
    """One format. `name` is what `data.source` says."""

    name: ClassVar[str]

    def __init__(self, options: Options):
        self.options = options

    @abstractmethod
    def read(self, workdir: Path) -> Raw:
        """The tables; a source that makes its pictures writes them below `workdir`.

        Raises:
            UserError: a file is missing or is not of this format; names the file.
        """

    def ingest(self, file: Path, target: Path) -> Found:
        """Check one file and copy it to `target`, decoded completely."""
        return ingest_picture(file, target)

    def annotation_files(self) -> dict[Path, str | None]:
        """File -> the split that params.yaml gives it, if any.

        Raises:
            UserError: the key is empty, or a file does not exist.
        """
        given = self.options.annotations
        if not given:
            raise UserError(f"data.annotations is empty: the source '{self.name}' needs a file there.")
        if isinstance(given, Mapping):
            files = {Path(file): split for split, file in given.items()}
        else:
            files = {Path(file): None for file in ([given] if isinstance(given, str) else given)}
        for file in files:
            if not file.exists():
                raise UserError(f"data.annotations: {file}: no such file.")
        return files

    def image_folder(self, default: Path) -> Path:
        """The folder that file names are relative to.

        Raises:
            UserError: there is none.
        """
        folder = Path(self.options.images) if self.options.images else default
        if not folder.is_dir():
            raise UserError(f"data.images: {folder}: no such folder.")
        return folder


def raw_tables(images: Records, captions: Records, root: Path) -> Raw:
    """Rows as `Raw`: ids, files, splits and captions as text; captions that are none are marked as faults."""
    image_table = pd.DataFrame(images)
    caption_table = pd.DataFrame(captions, columns=["image_id", "caption", "row"])
    for column in ("image_id", "file", "split", "row"):
        values = image_table[column] if column in image_table else [None] * len(image_table)
        image_table[column] = pd.Series([_text(value) for value in values], dtype="str")
    caption_table["image_id"] = pd.Series([_text(value) for value in caption_table["image_id"]], dtype="str")
    return Raw(image_table, checked_text(caption_table), root)


def checked_text(captions: pd.DataFrame) -> pd.DataFrame:
    """Captions with `problem` and `detail` for those that are no text, or text that UTF-8 cannot hold."""
    problems = [_problem(value) for value in captions["caption"]]
    texts = [
        value if problem is None else None
        for value, problem in zip(captions["caption"], problems, strict=True)
    ]
    details = [
        None if problem is None else ascii(value)
        for value, problem in zip(captions["caption"], problems, strict=True)
    ]
    return captions.assign(
        caption=pd.Series(texts, captions.index, dtype="str"),
        problem=pd.Series(problems, captions.index, dtype="str"),
        detail=pd.Series(details, captions.index, dtype="str"),
    )


def _problem(value: Any) -> str | None:
    if value is None or (isinstance(value, float) and value != value):
        return "caption-missing"
    if not isinstance(value, str):
        return "caption-not-text"
    if value.isascii():
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        return "caption-surrogates"
    return None


def _text(value: Any) -> str | None:
    """Ids may be numbers (a spreadsheet makes 12.0 of 12); what is neither number nor text is missing."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode().strip() or None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        return None
    return str(int(value)) if value == int(value) else str(value)
