"""The rows of one file, whatever it is: CSV and its kin, JSON, JSON lines, Parquet, Arrow."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from components.data.sources.columns import Columns
from components.data.sources.delimited import open_delimited, rows
from components.data.sources.text_files import read_text, suffix_of
from components.errors import UserError

DELIMITED = (".csv", ".tsv", ".txt", ".token")
KINDS = (*DELIMITED, ".jsonl", ".ndjson", ".json", ".parquet", ".arrow")

Tell = Callable[[str], None]
Rows = Iterator[tuple[str, dict[str, Any]]]


class Records(NamedTuple):
    """Column names, in lower case, and what gives the rows once it is known which of them count."""

    names: list[str]
    rows: Callable[[Columns], Rows]


def read_records(file: Path, tell: Tell) -> Records:
    """The table in `file`; rows are named as one finds them: "a.csv: row 2", "a.jsonl: line 1".

    Raises:
        UserError: not a table of the kind that its ending says; names the line where it is known.
    """
    kind = suffix_of(file)
    try:
        if kind in DELIMITED:
            table = open_delimited(file, tell)
            return Records(table.names, lambda columns: rows(table, columns, tell))
        if kind in (".jsonl", ".ndjson"):
            return of_list(list(_json_lines(file, tell)))
        if kind == ".json":
            return of_list(list(_json_list(file, tell)))
        if kind in (".parquet", ".arrow"):
            return _arrow(file, kind)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{file}: cannot be read: {' '.join(str(error).split())}.") from None
    advice = " Save it as CSV (UTF-8)." if kind in (".xlsx", ".xls", ".ods") else ""
    advice = " Shards are data.source: webdataset." if kind == ".tar" else advice
    raise UserError(f"{file}: the ending says none of {', '.join(k[1:] for k in KINDS)}.{advice}")


def of_list(records: list[tuple[str, dict[str, Any]]]) -> Records:
    """Rows that are all there; a column is one that any of them has."""
    names = list(dict.fromkeys(name for _, record in records for name in record))
    return Records(names, lambda columns: iter(records))


def _lower(record: dict[str, Any]) -> dict[str, Any]:
    return {str(key).strip().lower(): value for key, value in record.items()}


def _json_lines(file: Path, tell: Tell) -> Rows:
    for number, line in enumerate(read_text(file, tell).split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{file}: line {number}: not valid JSON: {error}.") from None
        if not isinstance(record, dict):
            raise UserError(f"{file}: line {number}: not an object: {line.strip()[:60]}")
        yield f"{file.name}: line {number}", _lower(record)


def _json_list(file: Path, tell: Tell) -> Rows:
    """A list of objects, or an object that gives each picture its caption or captions."""
    try:
        content = json.loads(read_text(file, tell))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file}: not valid JSON: {error}.") from None
    if isinstance(content, dict):
        content = [{"image": name, "caption": captions} for name, captions in _by_name(file, content).items()]
    if not isinstance(content, list):
        raise UserError(f"{file}: a {type(content).__name__}, where a list of objects was expected.")
    for number, record in enumerate(content):
        if not isinstance(record, dict):
            raise UserError(f"{file}: [{number}]: not an object: {str(record)[:60]}")
        yield f"{file.name}: [{number}]", _lower(record)


def _by_name(file: Path, content: dict[str, Any]) -> dict[str, Any]:
    """Picture -> its caption or captions, if it is that."""
    for value in content.values():
        each = value[0] if isinstance(value, list) and value else value
        if isinstance(each, dict):
            raise UserError(
                f"{file}: an object with {', '.join(list(content)[:10])}, where a list of objects was "
                "expected. Is it of data.source: coco, karpathy or msrvtt? auto finds out."
            )
    return content


def _arrow(file: Path, kind: str) -> Records:
    if kind == ".parquet":
        table = pq.ParquetFile(file)
        schema, batches = table.schema_arrow, table.iter_batches
    else:
        schema, batches = _stream(file)
    names = [name.strip().lower() for name in schema.names]

    def read(columns: Columns) -> Rows:
        wanted = [i for i, name in enumerate(names) if name not in UNWANTED]
        number = 0
        for batch in batches():
            for record in batch.select(wanted).to_pylist():
                yield f"{file.name}: row {number}", _lower(record)
                number += 1

    return Records(names, read)


UNWANTED = ("exif",)
"""Of img2dataset: long, and never read."""


def _stream(file: Path) -> tuple[pa.Schema, Callable[[], Iterator[pa.RecordBatch]]]:
    """Arrow's stream format, in which `datasets` saves, or its file format."""

    def reader() -> Any:
        source = pa.memory_map(str(file))
        try:
            return pa.ipc.open_stream(source)
        except pa.ArrowInvalid:
            return pa.ipc.open_file(source)

    def batches() -> Iterator[pa.RecordBatch]:
        opened = reader()
        if hasattr(opened, "num_record_batches"):
            return (opened.get_batch(number) for number in range(opened.num_record_batches))
        return iter(opened)

    return reader().schema, batches
