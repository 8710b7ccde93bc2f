"""Bring the pictures of a source into the data set's own folder: decode each completely, hash it, copy it.

All processor cores work; nothing is believed that was not decoded.
"""

import os
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath, PureWindowsPath

import pandas as pd
from rich.progress import track

from components.data.pictures import Problem
from components.data.sources import Found
from components.data.sources.locate import not_found

Ingest = Callable[[Path, Path], Found]
"""(file of the source, file or folder to be written) -> what it is; raises Problem."""


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


def ingest_all(names: Sequence[str | None], root: Path, target: Path, ingest: Ingest) -> pd.DataFrame:
    """Ingest every file of `names` from `root` into `target`, a file named twice only once.

    Returns:
        One row a name: width, height, sha256, num_frames; or the name of a fault as `problem` and its
        `detail`.
    """
    distinct = list(dict.fromkeys(name for name in names if isinstance(name, str) and name.strip()))
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        work = pool.map(lambda name: _try(name, root, target, ingest), distinct)
        work = track(work, description="decoding", total=len(distinct), transient=True)
        found = dict(zip(distinct, work, strict=True))
    finally:
        pool.shutdown(cancel_futures=True)  # so that Ctrl-C does not wait for all that is still to be decoded
    rows = [found.get(name, {}) if isinstance(name, str) else {} for name in names]
    return pd.DataFrame(
        rows, columns=["width", "height", "sha256", "num_frames", "problem", "detail"]
    ).astype(
        {
            "width": "Int64",
            "height": "Int64",
            "num_frames": "Int64",
            "sha256": "str",
            "problem": "str",
            "detail": "str",
        }
    )


def _try(name: str, root: Path, target: Path, ingest: Ingest) -> dict[str, object]:
    try:
        return vars(ingest(inside(root, name), target / name))
    except Problem as problem:
        return {"problem": problem.fault, "detail": problem.detail}
