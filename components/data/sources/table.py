"""`table`: CSV, TSV, Parquet or JSON lines with an image and its caption, or a list of captions, in each row.

    image,caption,split                     {"file_name": "a.jpg", "text": ["a dog", "a brown dog"]}
    a.jpg,a dog,train

A folder with a `metadata.jsonl`, `.csv` or `.parquet` (the ImageFolder convention of Hugging Face) is the
same.
"""

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from components.data.sources.base import Raw, Source, split_name
from components.data.tables import SPLITS
from components.errors import UserError

FILE_COLUMNS = ("image", "file_name", "file", "filename", "path", "image_path")
CAPTION_COLUMNS = ("caption", "captions", "text", "sentence", "sentences", "description")


class Table(Source):
    """Pictures lie in `data.images`, or beside the table."""

    name = "table"
    file_columns: tuple[str, ...] = FILE_COLUMNS

    def read(self, workdir: Path) -> Raw:
        """Rows of the same file are one image; its id is the column `image_id`, or else the file's name, in
        several tables behind that of the split or folder.
        """
        images: dict[tuple, dict[str, Any]] = {}
        captions: list[dict[str, Any]] = []
        files = dict(table for file in self.annotation_files().items() for table in _tables(*file))
        for file, split in files.items():
            prefix = f"{split or file.parent.name}/" if len(files) > 1 else ""
            columns: tuple[str, str] | None = None
            for row, record in _records(file):
                # The first row decides; where a later one lacks them is a fault.
                columns = columns or tuple(
                    _column(file, record, c) for c in (self.file_columns, CAPTION_COLUMNS)
                )
                image = _image(record, columns[0], split, prefix) | {"row": row, "beside": file.parent}
                key = tuple(str(image[column]) for column in ("image_id", "file", "split", "group", "beside"))
                images.setdefault(key, image)
                texts = _captions(record.get(columns[1]))
                captions += [{"image_id": image["image_id"], "caption": text, "row": row} for text in texts]
        return self.tables(list(images.values()), captions)


def _image(record: dict[str, Any], file_column: str, split: str | None, prefix: str) -> dict[str, Any]:
    """The row's image; without an id of its own it goes by the name of its file."""
    name, given = record.get(file_column), record.get("image_id")
    return {
        "image_id": given if given is not None else f"{prefix}{name}" if isinstance(name, str) else None,
        "file": name,
        "split": split or record.get("split"),
        "group": record.get("group"),
    }


def _tables(path: Path, split: str | None) -> Iterator[tuple[Path, str | None]]:
    """The table itself; that of an ImageFolder; or those of its folders train, validation and test."""
    if not path.is_dir():
        yield path, split
        return
    inside = {split: path} | {split_name(p.name): p for p in sorted(path.iterdir()) if p.is_dir()}
    found = [
        (folder / f"metadata{suffix}", name)
        for name, folder in inside.items()
        if folder == path or name in SPLITS
        for suffix in (".jsonl", ".csv", ".parquet")
        if (folder / f"metadata{suffix}").is_file()
    ]
    if not found:
        raise UserError(f"{path}: a folder without metadata.jsonl, metadata.csv or metadata.parquet.")
    yield from found


def _records(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """("rows.csv: row 2", the row) of every row, columns in lower case; of a CSV file the header is row 1, as
    in a spreadsheet.

    Raises:
        UserError: not a table of the kind that its ending says; names the line where it is known.
    """
    kind = file.suffix.lower()
    try:
        if kind in (".jsonl", ".ndjson"):
            yield from _json_lines(file)
            return
        if kind == ".parquet":
            frame, first = pd.read_parquet(file).astype(object), 0
        elif kind in (".csv", ".tsv"):
            frame, first = _read_csv(file), 2
        else:
            raise UserError(f"{file}: the ending says none of csv, tsv, parquet, jsonl.")
    except (OSError, ValueError) as error:  # what pandas and pyarrow raise for broken files are ValueErrors
        raise UserError(f"{file}: cannot be read: {' '.join(str(error).split())}.") from None
    frame.columns = [str(column).strip().lower() for column in frame.columns]
    for number, record in enumerate(frame.to_dict("records"), first):
        yield f"{file.name}: row {number}", record


def _read_csv(file: Path) -> pd.DataFrame:
    """All cells as text, empty ones None; separated by tabs, semicolons (some spreadsheets) or commas."""
    with file.open(encoding="utf-8-sig", newline="") as lines:
        header = lines.readline()
    separator = max(",;\t", key=header.count)
    frame = pd.read_csv(file, sep=separator, dtype=object, keep_default_na=False, encoding="utf-8-sig")
    return frame.replace("", None)


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
            yield f"{file.name}: line {number}", {key.strip().lower(): value for key, value in record.items()}


def _column(file: Path, record: dict[str, Any], names: tuple[str, ...]) -> str:
    for name in names:
        if name in record:
            return name
    raise UserError(f"{file}: none of the columns {', '.join(names)}. It has: {', '.join(map(str, record))}.")


def _captions(value: Any) -> list[Any]:
    """One caption or several; in CSV a list may stand as JSON, or as pandas writes one."""
    if isinstance(value, str) and value.strip().startswith("["):
        value = _listed(value)
    if hasattr(value, "tolist"):  # pyarrow gives lists as arrays
        value = value.tolist()
    return list(value) if isinstance(value, list | tuple) else [value]


def _listed(text: str) -> Any:
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(text.strip())
        except (ValueError, SyntaxError):
            continue
    return text
