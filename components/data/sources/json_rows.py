"""The rows of a JSON file: lines, a list, or an object, in the forms in which people keep captions."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.data.clips import ENDINGS
from components.data.sources.columns import CAPTION, IMAGE, VIDEO, plain_name, plain_names
from components.data.sources.text_files import Tell, read_text, suffix_of
from components.errors import UserError

Rows = Iterator[tuple[str, dict[str, Any]]]


def json_rows(file: Path, tell: Tell) -> Rows:
    """("a.json: [2]" or "a.jsonl: line 3", the values by column) of each row.

    Raises:
        UserError: not JSON, or no rows; names the line.
    """
    content = read_content(file, tell)
    if isinstance(content, dict):
        content = _numbered(rows_of_object(content) or _by_name(file, content))
    for place, record in content:
        if not isinstance(record, dict):
            raise UserError(f"{file}: {place}: not an object: {str(record)[:60]}")
        yield f"{file.name}: {place}", plain_names(record)


def read_content(file: Path, tell: Tell) -> dict[str, Any] | list[tuple[str, Any]]:
    """The object in the file, or the values of its list or lines, each with its place. People give the name
    .json to lines, too, and .jsonl to a list.

    Raises:
        UserError: not JSON; or neither an object nor values.
    """
    text = read_text(file, tell)
    if suffix_of(file) != ".json" and text.lstrip()[:1] != "[":
        return _lines(file, text)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        if isinstance(error, json.JSONDecodeError) and error.msg == "Extra data":
            return _lines(file, text)
        raise UserError(f"{file}: not valid JSON: {error}.") from None
    if isinstance(content, dict | list):
        return content if isinstance(content, dict) else _numbered(content)
    raise UserError(f"{file}: a {type(content).__name__}, where a list of objects was expected.")


def _numbered(values: list[Any]) -> list[tuple[str, Any]]:
    return [(f"[{number}]", value) for number, value in enumerate(values)]


def _lines(file: Path, text: str) -> list[tuple[str, Any]]:
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        try:
            if line.strip():
                found.append((f"line {number}", json.loads(line)))
        except (ValueError, RecursionError) as error:
            raise UserError(f"{file}: line {number}: not valid JSON: {error}.") from None
    return found


def rows_of_object(content: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The rows of an object that is plainly a table: {"a.jpg": captions}, {"data": [rows]}, {column: values}.

    None if it is something else.
    """
    values = list(content.values())
    if is_picture(next(iter(content), "")):
        return [
            {"image": name} | (value if isinstance(value, dict) else {"caption": value})
            for name, value in content.items()
        ]
    lists = [value for value in values if isinstance(value, list) and value and isinstance(value[0], dict)]
    if len(lists) == 1:
        return lists[0]
    names = {plain_name(name) for name in content}
    lengths = {len(value) if isinstance(value, dict | list) else None for value in values}
    if names & {*IMAGE, *VIDEO} and names & {*CAPTION} and len(lengths) == 1 and None not in lengths:
        cells = [list(value.values() if isinstance(value, dict) else value) for value in values]  # of pandas
        return [dict(zip(content, row, strict=True)) for row in zip(*cells, strict=True)]
    return None


def is_picture(name: str) -> bool:
    """Whether it is the name of a picture or clip."""
    return Path(name).suffix.lower() in ENDINGS


def _by_name(file: Path, content: dict[str, Any]) -> list[dict[str, Any]]:
    """Picture, by a name without ending, -> its caption or captions, if it is that."""
    for value in content.values():
        each = value[0] if isinstance(value, list) and value else value
        if isinstance(each, dict):
            raise UserError(
                f"{file}: an object with {', '.join(list(content)[:10])}, where a list of objects was "
                "expected. Is it of data.source: coco, karpathy or msrvtt? auto finds out."
            )
    return [{"image": name, "caption": captions} for name, captions in content.items()]
