"""What a source of pictures and captions is: one small class that reads its format into two plain tables.

A new source is one file in this folder, and `data.source` names it:

    class MyFormat(Source):
        name = "my-format"

        class Options(Source.Options):
            separator: str = ","  # data.separator of params.yaml

        def read(self, workdir):
            (file,) = self.annotation_files()
            images = [{"image_id": 1, "file": "a.jpg", "split": None, "beside": file.parent, "row": "line 1"}]
            captions = [{"image_id": 1, "caption": "a dog", "row": "line 1"}]
            return self.tables(images, captions)
"""

import hashlib
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from components.config import Section
from components.data.looks import Glimpse, glimpse_of
from components.data.pictures import Problem, content, load_rgb
from components.data.shards import Slice
from components.data.sources.archives import ZIP, archives, unpack
from components.data.sources.locate import common_root, find_folder, has, locate
from components.data.sources.values import CLEAN, file_name, plain_text, split_name
from components.data.tables import SPLITS
from components.errors import UserError

Files = str | list[str] | dict[str, str | list[str]] | None
"""A file, files, or split -> file or files; below `data.folder`, or absolute."""


SCRATCH = "scratch"
"""Folder of `workdir` for files that go when the data set is complete: its pictures are in shards then."""


@dataclass(frozen=True)
class Raw:
    """Tables as a source gives them, faults included.

    images: image_id, file (relative to `root`), split (missing where the source has none), row (such as
        "captions.json: images[3]"), and columns of the source's own, of which `group` keeps images together
        in one split. Of a picture that is a slice of a larger file also `shard` (that file, relative to
        `root`), `offset`, `size`; `file` is then its name alone
    captions: image_id, caption, row; a caption may be a Problem
    root: the folder of the pictures
    notes: what was taken for what, and what was not read, in sentences
    left_out: why rows are not among these -> how many, where that is no fault
    """

    images: pd.DataFrame
    captions: pd.DataFrame
    root: Path = field(default_factory=Path)
    notes: tuple[str, ...] = ()
    left_out: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """What a file turned out to be."""

    width: int
    height: int
    sha256: str
    frames: list[Slice]
    glimpse: Glimpse


SAMPLE = 20  # names of pictures that are looked for to find their folder

Records = list[dict[str, Any]] | dict[str, list[Any]]
"""Rows, or columns."""


class Source(ABC):
    """One format. `name` is what `data.source` says, `Options` the keys of `data:` that are the format's own,
    `licence` that of its data, if it is always the same.

    An option without a default has its value in params.yaml, whatever the source; one with a default is set
    there for this source alone.
    """

    name: ClassVar[str]
    licence: ClassVar[str] = ""

    class Options(Section):
        """Of sources that read annotation files."""

        annotations: Files = None
        images: str | dict[str, str] | None = None  # what file names are relative to, or split -> folder

    options: Options

    def __init__(
        self, options: Section, folder: str | Path = ".", seed: int = 0, unpacked: Path | None = None
    ):
        self.options, self.folder, self.seed, self.unpacked = options, Path(folder), seed, unpacked
        self.notes: list[str] = []
        self.left_out: Counter[str] = Counter()

    @abstractmethod
    def read(self, workdir: Path) -> Raw:
        """The tables; a source that makes its pictures writes them below `workdir`/SCRATCH.

        Raises:
            UserError: a file is missing or is not of this format; names the file.
        """

    def ingest(self, place: Slice, scratch: Path) -> Found:
        """Decode the picture at `place` completely; a source of clips writes their frames into `scratch`.

        Raises:
            OSError: there is no such file.
            Problem: it is damaged, or of a size or mode that nobody meant.
        """
        data = content(place)
        picture = load_rgb(data)
        whole = Slice(place.file, place.offset, len(data))
        digest = hashlib.sha256(data).hexdigest()
        return Found(picture.width, picture.height, digest, [whole], glimpse_of(picture))

    def annotation_files(self) -> dict[Path, str | None]:
        """File -> the split that params.yaml gives it, if any.

        Raises:
            UserError: the key is empty, or a file does not exist.
        """
        if not self.options.annotations:
            raise UserError(f"data.annotations is empty: the source '{self.name}' needs a file there.")
        return self.files_of("annotations")

    def files_of(self, key: str) -> dict[Path, str | None]:
        """File -> the split that params.yaml gives it, if any, of what stands at data.`key`.

        Raises:
            UserError: a file does not exist.
        """
        given = getattr(self.options, key) or []
        by_split = given if isinstance(given, dict) else {None: given}
        files = {
            self.folder / file: split
            for split, several in by_split.items()
            for file in ([several] if isinstance(several, str) else several)
        }
        for file in files:
            if not file.exists():
                raise UserError(f"data.{key}: {file}: no such file.")
        return files

    def tables(self, images: list[dict[str, Any]], captions: list[dict[str, Any]]) -> Raw:
        """Rows as `Raw`, where files may lie in several folders: one a split, or one an annotation file.

        Args:
            images: with `beside`, the folder that `file` is relative to where data.images says nothing; and
                names as other people write them (`locate`)

        Raises:
            UserError: a folder does not exist, or data.images has none for a split.
        """
        places = [(split_name(image.get("split")), image.pop("beside")) for image in images]
        names: dict[tuple[str | None, Path], list[str]] = {place: [] for place in places}
        for image, place in zip(images, places, strict=True):
            image["file"] = file_name(image["file"])
            if image["file"] and len(names[place]) < SAMPLE:
                names[place].append(image["file"])
        folders = {place: self._folder(*place, names[place]) for place in names}
        found = [
            locate(image["file"], folders[place], self.folder, place[1])
            for image, place in zip(images, places, strict=True)
        ]
        absolute = {folder: folder.absolute() for folder, _ in found}
        root = common_root([*absolute])
        for image, (folder, name) in zip(images, found, strict=True):
            image["file"] = name and (absolute[folder].relative_to(root) / name).as_posix()
        raw = raw_tables(images, captions, root)
        return replace(raw, notes=tuple(self.notes), left_out=dict(self.left_out))

    def _folder(self, split: str | None, beside: Path, names: list[str]) -> Path:
        """The folder of the files `names` and all others of `split`: data.images, or one that has them."""
        given = self.options.images
        if isinstance(given, dict):
            given = {split_name(name): folder for name, folder in given.items()}
            if split in SPLITS and split not in given:
                raise UserError(f"data.images names no folder for '{split}', only for {', '.join(given)}.")
            given = given.get(split)
        if given:
            folder = self.folder / given
            if folder.suffix.lower() == ZIP and folder.is_file() and self.unpacked:
                archive = unpack(folder, self.unpacked)
                folder = find_folder(names, archive, split) or archive
        elif beside.is_dir() and any(has(beside, name) for name in names):
            return beside
        elif folder := find_folder(names, self.folder, split) or self._zipped(names, split):
            self.notes.append(f"pictures{f' of {split}' if split else ''}: found in {folder}")
        else:
            folder = beside
        if not folder.is_dir():
            raise UserError(f"data.images: {folder}: no such folder.")
        return folder

    def _zipped(self, names: list[str], split: str | None) -> Path | None:
        """The folder of `names` in one of the archives of data.folder."""
        for archive in archives(self.folder) if self.unpacked and self.folder.is_dir() else []:
            if folder := find_folder(names, unpack(archive, self.unpacked), split):
                return folder
        return None


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
    values = list(captions["caption"])
    problems = [_problem(value) for value in values]
    texts = [value if problem is None else None for value, problem in zip(values, problems, strict=True)]
    details = [
        value.detail
        if isinstance(value, Problem)
        else None
        if problem in (None, "caption-missing")
        else ascii(value)
        for value, problem in zip(values, problems, strict=True)
    ]
    return captions.assign(
        caption=pd.Series(texts, captions.index, dtype="str"),
        problem=pd.Series(problems, captions.index, dtype="str"),
        detail=pd.Series(details, captions.index, dtype="str"),
    )


def _problem(value: Any) -> str | None:
    if isinstance(value, Problem):
        return value.fault
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
