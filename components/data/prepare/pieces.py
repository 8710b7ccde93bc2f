"""Work in pieces: each a task that may run in another thread, or on a machine that sees the same folder.

A piece leaves what it made in a file that is named by all that decides it, so a run that was killed goes on
where it was, and nothing made of other data is ever taken for it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

KEPT = TABLES, CLIPS, SHARDS = "found", "frames", "shards"
"""Folders of what pieces have finished: tables of what was found, frames of clips, tar shards."""

Progress = Callable[[int], None]


def tell(progress: Progress | None, count: int) -> None:
    """So many more are done."""
    if progress:
        progress(count)


@dataclass(frozen=True)
class Piece:
    """The rows of a `Plan` that are group `number`."""

    number: int


class MapPieces(Protocol):
    """Calls `function(piece, progress, **fixed)` for every piece, wherever that is done; the results stand in
    the order of `pieces`.

    `sizes` are how many pictures each has, which `progress`, if it is not None, is told as they are done.
    """

    def __call__(
        self, function: Callable, pieces: Sequence[Any], sizes: Sequence[int], **fixed: Any
    ) -> list[Any]: ...


def one_by_one(function: Callable, pieces: Sequence[Any], sizes: Sequence[int], **fixed: Any) -> list[Any]:
    """`MapPieces` in this thread."""
    return [function(piece, None, **fixed) for piece in pieces]


def write_plan(path: Path, table: pd.DataFrame, group: "pd.Series[int]") -> tuple[list[Piece], list[int]]:
    """Write `table` so that a task reads the rows of its piece alone; `group` numbers the pieces from 0.

    Returns:
        The pieces, and how many rows each has.
    """
    sizes = group.value_counts().sort_index().to_list()
    whole, start = pa.Table.from_pandas(table, preserve_index=False), 0
    with pq.ParquetWriter(path, whole.schema) as writer:
        for size in sizes:
            writer.write_table(whole.slice(start, size), row_group_size=size)
            start += size
    return [Piece(number) for number in range(len(sizes))], sizes


def read_plan(path: Path, piece: Piece) -> pd.DataFrame:
    """The rows of `piece`."""
    with pq.ParquetFile(path) as file:
        return file.read_row_group(piece.number).to_pandas()
