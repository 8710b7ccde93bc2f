"""The captions in one cell: one, or a list of them, as a list, as JSON or as Python and numpy print one."""

import ast
import json
import re
from typing import Any

LITERAL = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
PRINTED = re.compile(rf"\[\s*{LITERAL}(?:(?:\s*,\s*|\s+){LITERAL})*\s*,?\s*\]", re.DOTALL)
"""['a', 'b'] of Python, and ['a' 'b'] of numpy, which Python would read as one string."""


def captions_of(value: Any) -> list[Any]:
    """The captions in `value`; what only looks like a list stays as it is, which is a fault."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = _listed(value)
    if hasattr(value, "tolist"):
        value = value.tolist()
    return [_text(each) for each in value] if isinstance(value, list | tuple) else [_text(value)]


def _text(value: Any) -> Any:
    """COCO's and Karpathy's sentences in a table: {'raw': ...}."""
    if isinstance(value, dict):
        return next((value[key] for key in ("raw", "caption", "text") if key in value), value)
    return value


def _listed(text: str) -> Any:
    try:
        found = json.loads(text)
        return found if isinstance(found, list) else text
    except ValueError:
        pass
    if not PRINTED.fullmatch(text.strip()):
        return text
    return [ast.literal_eval(literal) for literal in re.findall(LITERAL, text, re.DOTALL)]
