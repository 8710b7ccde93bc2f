"""`table`: CSV, TSV, Parquet or JSON lines with an image and its caption, or a list of captions, in each row.

    image,caption,split                     {"file_name": "a.jpg", "text": ["a dog", "a brown dog"]}
    a.jpg,a dog,train

A folder with a `metadata.jsonl`, `.csv` or `.parquet` (the ImageFolder convention of Hugging Face) is the
same.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from components.data.sources.base import Raw, Source, raw_tables
from components.errors import UserError

FILE_COLUMNS = ("image", "file_name", "file", "filename", "path", "image_path")
CAPTION_COLUMNS = ("caption", "captions", "text", "sentence", "sentences", "description")
ID_COLUMNS = ("image_id", "id")


class Table(Source):
    """Reads `data.annotations` (file, folder, files, split -> file), `data.images` (default: beside it)."""

    name = "table"
    file_columns = FILE_COLUMNS

    def read(self, workdir: Path) -> Raw:
        """Rows of the same file are one image; its id is the column `image_id`, or else the file's name."""
        images: dict[tuple, dict[str, Any]] = {}
        captions: list[dict[str, Any]] = []
        files = {_metadata(file): split for file, split in self.annotation_files().items()}
        for file, split in files.items():
            columns: tuple[str, str] | None = (
                None  # the first row decides; where a later one lacks them is a fault
            )
            for row, record in _records(file):
                columns = columns or tuple(
                    _column(file, record, c) for c in (self.file_columns, CAPTION_COLUMNS)
                )
                image = _image(record, columns[0], split) | {"row": row}
                key = tuple(str(image[column]) for column in ("image_id", "file", "split", "group"))
                images.setdefault(key, image)
                texts = _captions(record.get(columns[1]))
                captions += [{"image_id": image["image_id"], "caption": text, "row": row} for text in texts]
        return raw_tables(list(images.values()), captions, self.image_folder(next(iter(files)).parent))


def _image(record: dict[str, Any], file_column: str, split: str | None) -> dict[str, Any]:
    """The row's image; without an id of its own it goes by the name of its file."""
    name = record.get(file_column)
    given = next((record[column] for column in ID_COLUMNS if record.get(column) is not None), None)
    return {
        "image_id": name if given is None else given,
        "file": name,
        "split": split or record.get("split"),
        "group": record.get("group"),
    }


def _metadata(path: Path) -> Path:
    """The table itself, or that of an ImageFolder."""
    if not path.is_dir():
        return path
    for suffix in (".jsonl", ".csv", ".parquet"):
        if (path / f"metadata{suffix}").is_file():
            return path / f"metadata{suffix}"
    raise UserError(f"{path}: a folder without metadata.jsonl, metadata.csv or metadata.parquet.")


def _records(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """("rows.csv: row 2", the row) of every row; of a CSV file the header is row 1, as in a spreadsheet.

    Raises:
        UserError: not a table of the kind that its ending says; names the line where it is known.
    """
    try:
        if file.suffix in (".jsonl", ".ndjson"):
            yield from _json_lines(file)
            return
        if file.suffix == ".parquet":
            frame, first = pd.read_parquet(file).astype(object), 0
        elif file.suffix in (".csv", ".tsv"):
            separator = "\t" if file.suffix == ".tsv" else ","
            frame = pd.read_csv(
                file, sep=separator, dtype=object, keep_default_na=False, encoding="utf-8-sig"
            )
            frame, first = frame.replace("", None), 2
        else:
            raise UserError(f"{file}: the ending says none of csv, tsv, parquet, jsonl.")
    except (OSError, ValueError) as error:  # what pandas and pyarrow raise for broken files are ValueErrors
        raise UserError(f"{file}: cannot be read: {' '.join(str(error).split())}.") from None
    for number, record in enumerate(frame.to_dict("records"), first):
        yield f"{file.name}: row {number}", record


def _json_lines(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with file.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except ValueError as error:
                raise UserError(f"{file}: line {number}: not valid JSON: {error}.") from None
            if not isinstance(record, dict):
                raise UserError(f"{file}: line {number}: not an object: {line.strip()[:60]}")
            yield f"{file.name}: line {number}", record


def _column(file: Path, record: dict[str, Any], names: tuple[str, ...]) -> str:
    for name in names:
        if name in record:
            return name
    raise UserError(f"{file}: none of the columns {', '.join(names)}. It has: {', '.join(map(str, record))}.")


def _captions(value: Any) -> list[Any]:
    """One caption or several; in CSV a list may stand as JSON."""
    if isinstance(value, str) and value.startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            return [value]
    if hasattr(value, "tolist"):  # pyarrow gives lists as arrays
        value = value.tolist()
    return list(value) if isinstance(value, list | tuple) else [value]
