"""JSON files as COCO has them: an object with lists of objects."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.errors import UserError


def read_json(file: Path) -> dict[str, Any]:
    """The object in `file`.

    Raises:
        UserError: not UTF-8, not JSON, or not an object.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file}: not valid JSON: {error}.") from None
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}.") from None
    if not isinstance(content, dict):
        raise UserError(
            f"{file}: a {type(content).__name__}, where an object was expected. Is this the right file?"
        )
    return content


def entries(file: Path, content: dict[str, Any], key: str) -> Iterator[dict[str, Any]]:
    """The objects of the list at `key`; what is none becomes an empty one, and with that a fault.

    Raises:
        UserError: no such list.
    """
    if not isinstance(content.get(key), list):
        raise UserError(f"{file}: no list '{key}'. It has: {', '.join(list(content)[:10])}.")
    return (entry if isinstance(entry, dict) else {} for entry in content[key])
