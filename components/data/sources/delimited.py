"""CSV, TSV and their kin as people write them: with stray quotes, unquoted commas, without a header.

Quotes count where a cell begins and ends with them; such a cell may go on over several lines, as long as
none of these is a row of its own. All other quotes are text.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from components.data.pictures import Problem
from components.data.sources.columns import Columns, plain_name
from components.data.sources.text_files import read_text
from components.data.sources.values import split_name
from components.data.tables import SPLITS

PICTURE = re.compile(
    r'[^"\n]*\.(?:jpe?g|png|gif|webp|bmp|tiff?|heic|avif|mp4|avi|mov|mkv|webm)(?:#\d+)?', re.IGNORECASE
)
"""The name of a picture or clip, perhaps with the number of its caption."""

ADDRESS = re.compile("https?://")

DOUBLED = re.compile(r'[^\s,;|"]""[^\s,;|"]')
ESCAPED = re.compile(r'(?:^|(?<=[,;|\t]))"(?:[^"\\]|\\.)*"(?=[,;|\t]|$)', re.MULTILINE | re.DOTALL)
"""A quoted cell with quotes inside, as standard CSV has it, and as programs write it that escape them."""

MAX_LINES = 50  # of a cell

Rows = Iterator[tuple[str, dict[str, Any]]]


class Delimited(NamedTuple):
    """A table before its columns have a meaning: names in lower case, and (line number, line) of the rest."""

    file: Path
    separator: str
    names: list[str]
    lines: list[str]
    first: int  # line number of lines[0]
    has_header: bool


def open_delimited(file: Path, tell: Callable[[str], None]) -> Delimited:
    """Find separator and header; a file without one that begins with a picture has image and caption.

    Raises:
        UserError: no text in a known encoding, or empty.
    """
    lines = _quotes_doubled(read_text(file, tell)).split("\n")
    first = 1
    if declared := re.fullmatch(r"sep=(.)", lines[0].strip('"')):  # Excel's
        lines, first = lines[1:] or [""], 2
    separator = declared[1] if declared else "\t" if "\t" in lines[0] else max(",;|", key=lines[0].count)
    cells = [value.strip() for value, _ in _split(lines[0], separator) or []]
    if names := _names_of_data(cells):
        return Delimited(file, separator, names, lines, first, has_header=False)
    while cells and not cells[-1]:
        cells.pop()
    return Delimited(file, separator, _distinct(cells), lines[1:], first + 1, has_header=True)


def _names_of_data(cells: list[str]) -> list[str]:
    """Names for the columns of a first line that is no header, as it names a picture; else none."""
    pictures = [bool(PICTURE.fullmatch(cell) or ADDRESS.match(cell)) for cell in cells]
    if pictures[:1] == [True]:
        return (
            ["image", "number", "caption"] if len(cells) > 2 and cells[1].isdigit() else ["image", "caption"]
        )
    return ["caption", "image"] if pictures == [False, True] else []


def _distinct(cells: list[str]) -> list[str]:
    """Columns of one name are numbered."""
    names = [plain_name(cell) for cell in cells]
    return [f"{name}_{i}" if name and names.count(name) > 1 else name for i, name in enumerate(names)]


def _quotes_doubled(text: str) -> str:
    """A table with the quotes in quoted cells as ""; some programs write them as \\"."""
    if '\\"' not in text or DOUBLED.search(text):
        return text
    return ESCAPED.sub(lambda cell: re.sub(r'\\(["\\])', lambda m: m[1].replace('"', '""'), cell[0]), text)


def rows(table: Delimited, columns: Columns, tell: Callable[[str], None]) -> Rows:
    """("rows.csv: row 2", cells by column) of each row; the header is row 1, as in a spreadsheet.

    Empty cells are None. Separators that were not quoted are given back to the caption where the picture's
    name shows that they are its own; else the caption is a Problem, as in a row that lacks a separator.
    """
    image = table.names.index(columns.image)
    joined: list[int] = []
    number = 1 if table.has_header else 0
    for line, cells in _rows(table, image):
        values = [value for value, _ in cells]
        while len(values) > len(table.names) and not values[-1].strip():
            values.pop()
        if not any(value.strip() for value in values):
            continue
        number += 1
        surplus = len(values) - len(table.names)
        problem = None
        if surplus > 0 and (mended := _join(table, columns, cells[: len(values)], surplus)):
            values = mended
            joined.append(line)
        elif surplus > 0 or table.names.index(columns.captions[0]) >= len(values):
            problem = f"line {line}: {len(values)} cells, the header has {len(table.names)}"
        if table.separator == "|":
            values = [value.strip() for value in values]
        record: dict[str, Any] = dict(zip(table.names, (value or None for value in values), strict=False))
        if problem:
            record |= dict.fromkeys(columns.captions) | {columns.captions[0]: Problem("row-cells", problem)}
        yield f"{table.file.name}: row {number}", record
    if joined:
        tell(
            f"{table.file.name}: {len(joined)} captions with an unquoted {table.separator!r}, read as part "
            f"of the caption; the first: line {joined[0]}"
        )


Cells = list[tuple[str, str]]
"""(what a cell means, as it is written)."""


def _rows(table: Delimited, image: int) -> Iterator[tuple[int, Cells]]:
    """(line number, cells) of each row."""
    named = any(_is_row(table, line, image, named=True) for line in table.lines[:20])
    position = 0
    while position < len(table.lines):
        begin, line = position, table.lines[position]
        cells = _split(line, table.separator)
        while cells is None:  # a quote that this line does not close
            position += 1
            following = table.lines[position] if position < len(table.lines) else None
            if (
                following is None
                or position - begin > MAX_LINES
                or _is_row(table, following, image, named=named)
            ):
                cells, position = _split(table.lines[begin], table.separator, literal=True), begin
            else:
                line = f"{line}\n{following}"
                cells = _split(line, table.separator)
        position += 1
        if line.strip():
            yield table.first + begin, cells


def _is_row(table: Delimited, line: str, image: int, *, named: bool) -> bool:
    """Whether a line is a row of its own: by the picture's name, or where names say nothing, by its cells."""
    cells = _split(line, table.separator, literal=True)
    if named:
        return len(cells) > image and bool(PICTURE.fullmatch(cells[image][0].strip()))
    return len(cells) >= len(table.names) > 1


def _split(line: str, separator: str, literal: bool = False) -> Cells | None:
    """The cells of a line; None if it ends within quotes, unless those are `literal`."""
    if '"' not in line:
        return [(cell, cell) for cell in line.split(separator)]
    quoted = _QUOTED[separator] if separator in _QUOTED else _quoted(separator)
    cells, position = [], 0
    while True:
        if found := quoted.match(line, position):
            cells.append((found[1].replace('""', '"'), found[0]))
            position = found.end()
        else:
            end = line.find(separator, position)
            end = len(line) if end < 0 else end
            text = line[position:end]
            if not literal and _OPEN.match(text) and not _closes(line[position:]):
                return None
            cells.append((text, text))
            position = end
        if position >= len(line):
            return cells
        position += len(separator)


def _closes(rest: str) -> bool:
    """Whether a cell that begins with a quote has another one: then neither of them is a delimiter."""
    return rest.replace('""', "").count('"') > 1


def _quoted(separator: str) -> re.Pattern[str]:
    return re.compile(rf'[ ]*"((?:[^"]|"")*)"[ ]*(?={re.escape(separator)}|$|\Z)')


_OPEN = re.compile(' *"')
_QUOTED = {separator: _quoted(separator) for separator in ",;|\t"}


def _join(table: Delimited, columns: Columns, cells: Cells, surplus: int) -> list[str] | None:
    """The row with its surplus separators given back to the caption; None if that would be a guess."""
    if len(columns.captions) > 1:
        return None
    caption = table.names.index(columns.captions[0])
    own = [raw for _, raw in cells[caption : caption + surplus + 1]]
    before, after = cells[:caption], cells[caption + surplus + 1 :]
    values = [*(v for v, _ in before), table.separator.join(own), *(v for v, _ in after)]
    record = dict(zip(table.names, values, strict=True))
    sure = PICTURE.fullmatch(record[columns.image].strip()) is not None
    if columns.split:
        sure = sure and split_name(record[columns.split]) in SPLITS
    return values if sure else None
