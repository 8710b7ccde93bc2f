"""The rows of one file, whatever it is: CSV and its kin, JSON, JSON lines, Parquet, Arrow."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from components.data.sources.columns import Columns, plain_name, plain_names
from components.data.sources.delimited import open_delimited, rows
from components.data.sources.json_rows import Rows, json_rows
from components.data.sources.text_files import Tell, suffix_of
from components.errors import UserError

DELIMITED = (".csv", ".tsv", ".txt", ".token")
ARROW = (".arrow", ".feather")
KINDS = (*DELIMITED, ".jsonl", ".ndjson", ".json", ".parquet", *ARROW)


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
        if kind in (".jsonl", ".ndjson", ".json"):
            return of_list(list(json_rows(file, tell)))
        if kind in (".parquet", *ARROW):
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


def _arrow(file: Path, kind: str) -> Records:
    if kind == ".parquet":
        table = pq.ParquetFile(file)
        schema, batches = table.schema_arrow, table.iter_batches
    else:
        schema, batches = _stream(file)
    names = [plain_name(name) for name in schema.names]

    def read(columns: Columns) -> Rows:
        wanted = [i for i, name in enumerate(names) if name not in UNWANTED]
        number = 0
        for batch in batches():
            for record in batch.select(wanted).to_pylist():
                yield f"{file.name}: row {number}", plain_names(record)
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
