"""The captions in one cell: one, or a list of them, as a list, as JSON or as Python and numpy print one."""

import ast
import json
import re
from collections import Counter
from typing import Any

LITERAL = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
PRINTED = re.compile(rf"[\[(]\s*{LITERAL}(?:(?:\s*,\s*|\s+){LITERAL})*\s*,?\s*[\])]", re.DOTALL)
"""['a', 'b'] of Python, ('a', 'b'), and ['a' 'b'] of numpy, which Python would read as one string."""
ARRAY = re.compile(r"(?:np\.)?array\((\[.*\])(?:,\s*dtype=[^()]*)?\)", re.DOTALL)
LISTED = re.compile(r"\s*(?:\[|\(['\"]|(?:np\.)?array\()")
SIGNS = (";", "|")  # between captions, in some tables
ASSISTANT = ("gpt", "assistant", "model")


def captions_of(value: Any, separator: str | None = None) -> list[Any]:
    """The captions in `value`; what only looks like a list stays as it is, which is a fault.

    Args:
        separator: what stands between several in a text
    """
    value = _text(value)  # of webdataset's json, where it may be a list
    if isinstance(value, str):
        value = _listed(value) if LISTED.match(value) else _parted(value, separator)
    if hasattr(value, "tolist"):
        value = value.tolist()
    if not isinstance(value, list | tuple):
        return [value]
    return [_text(each) for each in _answer(value) or value]


def _text(value: Any) -> Any:
    """COCO's and Karpathy's sentences in a table: {'raw': ...}."""
    if isinstance(value, dict):
        return next((value[key] for key in ("raw", "caption", "captions", "text") if key in value), value)
    return value


def _parted(text: str, separator: str | None) -> Any:
    parts = [part.strip() for part in text.split(separator)] if separator else []
    return [part for part in parts if part] or text


def _answer(turns: list | tuple) -> list[Any]:
    """Of a conversation about a picture, as LLaVA or a chat has it, the first answer."""
    for turn in turns:
        if isinstance(turn, dict) and turn.get("from", turn.get("role")) in ASSISTANT:
            said = turn.get("value", turn.get("content"))
            return said if isinstance(said, list) else [said]
    return []


def _listed(text: str) -> Any:
    """The list in a text; the text, if it is none."""
    inner = text.strip()
    if array := ARRAY.fullmatch(inner):
        inner = array[1]
    try:
        found = json.loads(inner)
        return found if isinstance(found, list) else text
    except ValueError:
        pass
    if PRINTED.fullmatch(inner):
        return [ast.literal_eval(literal) for literal in re.findall(LITERAL, inner, re.DOTALL)]
    try:  # [{'raw': 'a'}, {'raw': 'b'}]
        found = ast.literal_eval(inner) if "{" in inner else None
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return text
    return list(found) if isinstance(found, list | tuple) else text


class Joined:
    """Counts captions that look like several in one."""

    def __init__(self, file: str):
        self.file, self.rows, self.found = file, 0, Counter[str]()

    def see(self, texts: list[Any]) -> None:
        """The captions of a row."""
        self.rows += 1
        self.found.update(sign for sign in SIGNS if any(isinstance(t, str) and sign in t for t in texts))

    def notes(self) -> list[str]:
        """What the user is told, if it is most of them."""
        return [
            f"{self.file}: {number} of {self.rows} captions have {sign!r} in them: if it parts several, set "
            f"data.caption_separator: {sign!r}"
            for sign, number in self.found.items()
            if 2 * number > self.rows
        ]
