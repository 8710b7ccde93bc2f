"""The pictures of a checked data set into shards, or left where they are."""

import os
from collections.abc import Sequence
from pathlib import Path, PurePath

import pandas as pd

from components.data.shards import ShardWriter, Slice
from components.data.tables import FRAME_COLUMNS


def pack(images: pd.DataFrame, folder: Path, copy: bool) -> pd.DataFrame:
    """Write what `images` shows (column `frames`, lists of `Slice`) into shards in `folder`.

    Args:
        copy: False: only what lies in `folder`, as frames of clips do, becomes shards; pictures stay where
            they are.

    Returns:
        The table of frames, with `FRAME_COLUMNS`; `file` is a shard's name, or an absolute path.
    """
    rows: list[tuple[str, str, int, int | None]] = []
    packed: dict[tuple[Slice, ...], list[Slice]] = {}
    with ShardWriter(folder) as shards:
        for image in images[["image_id", "file_name", "frames"]].itertuples():
            frames = tuple(image.frames)
            if frames not in packed:
                stay = not copy and not frames[0].file.absolute().is_relative_to(folder.absolute())
                packed[frames] = list(frames) if stay else shards.add(_contents(frames, image.file_name))
            for place in packed[frames]:
                file = place.file.name if place.file.parent == folder else str(place.file.resolve())
                rows.append((image.image_id, file, place.offset, place.size))
    return pd.DataFrame(rows, columns=FRAME_COLUMNS).astype({"offset": "int64", "size": "int64"})


def _contents(frames: Sequence[Slice], name: str) -> list[tuple[bytes, str]]:
    """The bytes of each, with the ending of its file's name; of a slice of a larger file, of its own name."""
    suffixes = [PurePath(name).suffix if frame.offset else frame.file.suffix for frame in frames]
    return [(frame.read(), suffix.lower() or ".img") for frame, suffix in zip(frames, suffixes, strict=True)]


def portable(frames: pd.DataFrame, out: Path) -> pd.DataFrame:
    """`frames` with files inside the project (the working directory) as seen from `out`: it may move."""

    def seen(file: str) -> str:
        inside = Path(file).is_relative_to(Path.cwd())
        return Path(os.path.relpath(file, out)).as_posix() if inside else file

    names = {file: seen(file) for file in frames["file"].unique()}
    return frames.assign(file=frames["file"].map(names))
