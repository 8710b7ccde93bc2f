"""What a source of pictures and captions is: one small class that reads its format into two plain tables.

A new source is one file in this folder, and `data.source` names it:

    class MyFormat(Source):
        name = "my-format"

        def read(self, workdir):
            (file,) = self.annotation_files()
            images = [{"image_id": 1, "file": "a.jpg", "split": None, "beside": file.parent, "row": "line 1"}]
            captions = [{"image_id": 1, "caption": "a dog", "row": "line 1"}]
            return self.tables(images, captions)
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import pandas as pd

from components.data.prepare.ingest import Found, ingest_picture
from components.data.tables import SPLITS
from components.errors import UserError


@dataclass(frozen=True)
class Options:
    """The keys under `data:` in params.yaml that sources read; each source takes those that it needs."""

    annotations: str | list[str] | Mapping[str, str] | None = None  # file, files, or split -> file
    # folder that file names are relative to; or split -> folder
    images: str | Mapping[str, str] | None = None
    objects: str | list[str] | Mapping[str, str] | None = None  # COCO instances: coco, karpathy
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


def files_of(key: str, given: str | list[str] | Mapping[str, str]) -> dict[Path, str | None]:
    """File -> the split that params.yaml gives it, if any, of what stands at data.`key`.

    Raises:
        UserError: a file does not exist.
    """
    if isinstance(given, Mapping):
        files = {Path(file): split for split, file in given.items()}
    else:
        files = {Path(file): None for file in ([given] if isinstance(given, str) else given)}
    for file in files:
        if not file.exists():
            raise UserError(f"data.{key}: {file}: no such file.")
    return files


Records = list[dict[str, Any]] | dict[str, list[Any]]
"""Rows, or columns."""


class Source(ABC):
    """One format. `name` is what `data.source` says; `licence` that of its data, if it is always the same."""

    name: ClassVar[str]
    licence: ClassVar[str] = ""

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
        if not self.options.annotations:
            raise UserError(f"data.annotations is empty: the source '{self.name}' needs a file there.")
        return files_of("annotations", self.options.annotations)

    def tables(self, images: list[dict[str, Any]], captions: list[dict[str, Any]]) -> Raw:
        """Rows as `Raw`, where files may lie in several folders: one a split, or one an annotation file.

        Args:
            images: with `beside`, the folder that `file` is relative to where data.images says nothing

        Raises:
            UserError: a folder does not exist, or data.images has none for a split.
        """
        places = [(split_name(image.get("split")), image.pop("beside")) for image in images]
        folders = {place: self._folder(*place) for place in dict.fromkeys(places)}
        root = Path(os.path.commonpath(folders.values())) if folders else Path()
        for image, place in zip(images, places, strict=True):
            if folders[place] != root and isinstance(image["file"], str):
                image["file"] = (PurePosixPath(folders[place].relative_to(root)) / image["file"]).as_posix()
        return raw_tables(images, captions, root)

    def _folder(self, split: str | None, beside: Path) -> Path:
        given = self.options.images
        if isinstance(given, Mapping):
            given = {split_name(name): folder for name, folder in given.items()}
            if split in SPLITS and split not in given:
                raise UserError(f"data.images names no folder for '{split}', only for {', '.join(given)}.")
            given = given.get(split)
        folder = Path(given) if given else beside
        if not folder.is_dir():
            raise UserError(f"data.images: {folder}: no such folder.")
        return folder


def raw_tables(images: Records, captions: Records, root: Path) -> Raw:
    """Rows as `Raw`: ids, files, splits and captions as text; captions that are none are marked as faults."""
    image_table = pd.DataFrame(images)
    caption_table = pd.DataFrame(captions, columns=["image_id", "caption", "row"])
    for column in ("image_id", "file", "split", "row"):
        values = image_table[column] if column in image_table else [None] * len(image_table)
        image_table[column] = pd.Series(
            [CLEAN.get(column, plain_text)(value) for value in values], dtype="str"
        )
    caption_table["image_id"] = pd.Series(
        [plain_text(value) for value in caption_table["image_id"]], dtype="str"
    )
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


SYNONYMS = {"training": "train", "restval": "train", "validation": "val", "valid": "val", "testing": "test"}


def split_name(value: Any) -> str | None:
    """The split as our tables call it: 'Validation' is val; what is unknown stays, and becomes a fault."""
    name = plain_text(value)
    return name and SYNONYMS.get(name.lower(), name.lower() if name.lower() in SPLITS else name)


def _file_name(value: Any) -> str | None:
    """Without './' and '//': the name under which the picture will be found again."""
    name = plain_text(value)
    return name and PurePosixPath(name).as_posix()


def plain_text(value: Any) -> str | None:
    """Ids may be numbers (a spreadsheet makes 12.0 of 12); what is neither number nor text is missing."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode().strip() or None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        return None
    return str(int(value)) if value == int(value) else str(value)


CLEAN = {"split": split_name, "file": _file_name}
