"""Pictures that stand inside a table or an archive, as bytes."""

import hashlib
import io
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from components.data.sources.base import SCRATCH


def picture_of(value: Any) -> tuple[bytes | None, str | None]:
    """(bytes, name) of a picture as tables have it: a name, bytes, or {'bytes': ..., 'path': ...}."""
    if isinstance(value, Mapping):
        data, name = value.get("bytes"), value.get("path")
        return (bytes(data) if data is not None else None), name
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value), None
    return None, value


def write_picture(workdir: Path, below: str, name: str | None, data: bytes) -> str:
    """Write a picture as a file below `workdir`/SCRATCH/`below`, named after `name` and what is in it.

    So the same picture in several rows is one file, and different ones of one name are two.

    Returns:
        Its name relative to `workdir`/SCRATCH.
    """
    stem = re.sub(r"[^\w.-]+", "_", PurePosixPath(name).stem) + "-" if name else ""
    written = f"{below}/{stem}{hashlib.sha256(data).hexdigest()[:16]}{_ending(data)}"
    file = workdir / SCRATCH / written
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return written


def _ending(data: bytes) -> str:
    """'.jpeg' or the like; '' where the bytes are no picture, which decoding will say."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return f".{image.format.lower()}"
    except Exception:  # whatever a damaged picture raises
        return ""
