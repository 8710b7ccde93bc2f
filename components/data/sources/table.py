"""`table`: CSV, TSV, JSON, JSON lines, Parquet, Arrow: an image and its caption, or captions, in each row.

    image,caption,split                     {"file_name": "a.jpg", "text": ["a dog", "a brown dog"]}
    a.jpg,a dog,train

The names of the columns are in `columns.py`. What img2dataset writes is such a table, and so are the folders
in `folders.py`.
"""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from components.data.sources.base import SCRATCH, Raw, Source
from components.data.sources.captions import Joined, captions_of
from components.data.sources.columns import IMAGE, Columns, choose
from components.data.sources.delimited import ADDRESS
from components.data.sources.folders import Part, parts
from components.data.sources.locate import is_file
from components.data.sources.picture_bytes import picture_of, write_picture
from components.data.sources.split_lists import SplitLists
from components.data.sources.values import plain_text
from components.errors import UserError

COUNTED = re.compile(r"(\.\w{2,4})#\d+")  # a.jpg#0 of Flickr8k: the first caption of a.jpg
SHOWN = 8


class Table(Source):
    """Pictures lie in `data.images`, beside the table, or inside it."""

    name = "table"
    image_columns: tuple[str, ...] = IMAGE

    class Options(Source.Options):
        """And which columns, where their names do not say it."""

        image_column: str | None = None
        caption_column: str | None = None
        caption_separator: str | None = None  # between several captions in a cell
        split_lists: dict[str, str | list[str]] | None = None  # split -> a file that names its pictures

    options: Options

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.addresses: dict[str, dict[str, Any]] = {}  # of pictures that are named by one -> the first image

    def read(self, workdir: Path) -> Raw:
        """Rows of the same file are one image; its id is the column `image_id`, or else the file's name, in
        several tables behind that of the split or folder.
        """
        images: dict[tuple, dict[str, Any]] = {}
        captions: list[dict[str, Any]] = []
        several = list(self.parts())
        listed = SplitLists(self.files_of("split_lists")) if self.options.split_lists else None
        for part in several:
            prefix = f"{part.split or part.file.parent.name}/" if len(several) > 1 else ""
            columns = self._columns(part)
            joined = Joined(part.file.name)
            for row, record in self._records(part, columns):
                image = _image(record, columns, part, prefix) | {"row": row}
                if listed and not (split := listed.of(image["file"])):
                    self.left_out["in_no_split_list"] += 1
                    continue
                image["split"] = split if listed else image["split"]
                self._place(image, record, columns, part, workdir)
                key = tuple(str(image[column]) for column in ("image_id", "file", "split", "group", "beside"))
                images.setdefault(key, image)
                texts = _captions(record, columns, self.options.caption_separator)
                joined.see(texts)
                captions += [{"image_id": image["image_id"], "caption": text, "row": row} for text in texts]
            self.notes += joined.notes()
        if listed and not images:
            raise UserError(f"data.split_lists: {listed.files}: no picture of the table is in them.")
        raw = self.tables(list(images.values()), captions)
        self._require_downloads(raw)
        return raw

    def parts(self) -> Iterator[Part]:
        """The tables of all files and folders."""
        for path, split in self.annotation_files().items():
            yield from parts(path, split, self.notes.append)

    def _columns(self, part: Part) -> Columns:
        """Which columns count, which is noted."""
        names, options = part.records.names, self.options
        given = options.image_column
        if "status" in names and "key" in names and not given:
            given = "key"  # img2dataset: the picture is named after it, the url is where it came from
        columns = choose(part.file, names, given, options.caption_column, self.image_columns)
        left = [name for name in names if name not in (columns.image, *columns.captions, columns.split)]
        told = (
            f"{part.file.name}: pictures from {columns.image!r}, captions from {', '.join(columns.captions)}"
        )
        if left := [name for name in left if name not in ("image_id", "group")]:
            told += f"; not read: {', '.join(left[:SHOWN])}{' ...' if len(left) > SHOWN else ''}"
        self.notes.append(told)
        return columns

    def _records(self, part: Part, columns: Columns) -> Iterator[tuple[str, dict[str, Any]]]:
        """The rows, without downloads that failed, which are counted by what img2dataset says of them."""
        downloads = "status" in part.records.names and columns.image == "key"
        for row, record in part.records.rows(columns):
            if downloads and record.get("status") != "success":
                self.left_out[str(record.get("status"))] += 1
            else:
                yield row, record

    def _place(
        self, image: dict[str, Any], record: dict[str, Any], columns: Columns, part: Part, workdir: Path
    ) -> None:
        """Where the picture lies; what is inside the table is written to a file."""
        data, name = picture_of(record.get(columns.image))
        if data is not None:
            below = f"{part.split or ''}/{part.file.stem}".strip("/")
            image["file"] = write_picture(workdir, below, name, data)
            image["beside"] = workdir / SCRATCH
            image["image_id"] = record.get("image_id", image["file"])
        elif isinstance(name, str) and ADDRESS.match(name):
            image["file"] = unquote(PurePosixPath(urlsplit(name).path).name)
            self.addresses.setdefault(name, image)

    def _require_downloads(self, raw: Raw) -> None:
        """Most pictures that are named by web addresses lie here, under the names that these end with: else
        what lies here are other pictures.

        Raises:
            UserError: they do not, or two addresses end with one name.
        """
        if not self.addresses:
            return
        files = set(raw.images["file"].dropna())
        here = sum(is_file(raw.root / name) for name in files)
        if len(self.addresses) > min(2 * here, len(files)):
            address, image = next(iter(self.addresses.items()))
            raise UserError(
                f"{image['row']}: the picture is a web address: {address[:80]}. Download them first: what "
                "img2dataset writes (output_format files or webdataset) is read as it is, and so are files "
                "named as their addresses end, where no two end with the same name."
            )


def _image(record: dict[str, Any], columns: Columns, part: Part, prefix: str) -> dict[str, Any]:
    """The row's image; without an id of its own it goes by the name of its file."""
    _, name = picture_of(record.get(columns.image))
    name = name if isinstance(name, str) else plain_text(name)
    name = COUNTED.sub(r"\1", name) if isinstance(name, str) else name
    given = record.get("image_id") if columns.image != "image_id" else None
    folder = part.file if part.file.is_dir() else part.file.parent
    shard = part.file.with_suffix("")  # img2dataset: 00000.parquet lies beside 00000/
    return {
        "image_id": given if given is not None else f"{prefix}{name}" if isinstance(name, str) else None,
        "file": name,
        "split": part.split or (columns.split and record.get(columns.split)),
        "group": record.get("group"),
        "beside": shard if columns.image == "key" and shard.is_dir() else folder,
    }


def _captions(record: dict[str, Any], columns: Columns, separator: str | None) -> list[Any]:
    """All of them; of several columns those that are filled, one at least."""
    if len(columns.captions) == 1:
        return captions_of(record.get(columns.captions[0]), separator)
    filled = [record[name] for name in columns.captions if record.get(name) not in (None, "")]
    return [text for value in filled or [None] for text in captions_of(value, separator)]
