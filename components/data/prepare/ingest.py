"""Look at every picture of a source: decode it completely, hash it, and say where its bytes lie.

All processor cores work; nothing is believed that was not decoded.
"""

import itertools
import os
import unicodedata
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import pandas as pd
from rich.progress import track

from components.data.pictures import Problem
from components.data.shards import Slice
from components.data.sources import Found
from components.data.sources.locate import not_found

CHUNK = 64  # pictures that one thread takes at a time
PLACE = ("shard", "offset", "size")
FOUND = {
    "width": "Int64",
    "height": "Int64",
    "num_frames": "Int64",
    "sha256": "str",
    "frames": "object",
    "problem": "str",
    "detail": "str",
}

Ingest = Callable[[Slice, Path], Found]
"""(where it lies, folder for the frames of a clip) -> what it is; raises Problem."""

Place = tuple[str, Any, Any, Any]
"""Name, and, of a slice of a larger file, that file, offset, size."""


def inside(root: Path, name: str) -> Path:
    """The file `name` below `root`.

    Raises:
        Problem: `name`, or what it links to, lies elsewhere, or there is no such file.
    """
    for path in (PurePosixPath(name), PureWindowsPath(name)):
        if path.is_absolute() or ".." in path.parts or "\x00" in name:
            raise Problem("image-outside", name)
    try:
        file = next((root / n for n in _spellings(name) if (root / n).is_file()), root / name)
        if not file.resolve().is_relative_to(root.resolve()):
            raise Problem("image-outside", f"{name} links to {file.resolve()}")
        if not file.is_file():
            raise Problem("image-missing", "a folder" if file.is_dir() else not_found(root, name))
    except OSError as error:  # a name that the file system cannot have
        raise Problem("image-missing", error.strerror or str(error)) from None
    return file


def _spellings(name: str) -> Iterator[str]:
    """`name`, then as other systems write it: Windows' separators, Apple's decomposed accents."""
    yield name
    for form in ("NFC", "NFD"):
        yield unicodedata.normalize(form, name.replace("\\", "/"))


def ingest_all(images: pd.DataFrame, root: Path, scratch: Path, ingest: Ingest) -> pd.DataFrame:
    """Ingest every picture of `images` (columns as in `Raw`, `file` called `file_name`), one named twice only
    once.

    Returns:
        One row an image: width, height, sha256, num_frames, frames (list of `Slice`); or the name of a fault
        as `problem` and its `detail`.
    """
    names = images["file_name"].where(images["file_name"].str.strip().ne(""))
    parts = [images.get(column, pd.Series(None, images.index, dtype=object)) for column in PLACE]
    places = [place if isinstance(place[0], str) else None for place in zip(names, *parts, strict=True)]
    distinct = list(dict.fromkeys(place for place in places if place))
    chunks = [distinct[start : start + CHUNK] for start in range(0, len(distinct), CHUNK)]
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        work = pool.map(lambda chunk: [_try(place, root, scratch, ingest) for place in chunk], chunks)
        work = track(work, description="decoding", total=len(chunks), transient=True)
        found = dict(zip(distinct, itertools.chain.from_iterable(work), strict=True))
    finally:
        pool.shutdown(cancel_futures=True)  # so that Ctrl-C does not wait for all that is still to be decoded
    rows = [found[place] if place else {} for place in places]
    return pd.DataFrame(rows, columns=list(FOUND), index=images.index).astype(FOUND)


def _try(place: Place, root: Path, scratch: Path, ingest: Ingest) -> dict[str, object]:
    name, shard, *part = place
    try:
        if isinstance(shard, str):
            found = ingest(Slice(_shard(root, shard), *map(int, part)), scratch)
        else:
            found = ingest(Slice(inside(root, name)), scratch)
    except Problem as problem:
        return {"problem": problem.fault, "detail": problem.detail}
    except PermissionError as error:
        return {"problem": "image-unreadable", "detail": str(error.strerror)}
    return vars(found) | {"num_frames": len(found.frames)}


@lru_cache
def _shard(root: Path, name: str) -> Path:
    """`inside`, looked up once for all pictures of a shard."""
    return inside(root, name)
