"""The pictures of a checked data set into shards, or left where they are."""

import hashlib
import os
import re
from functools import cache, partial
from pathlib import Path, PurePath

import numpy as np
import pandas as pd

from components.data import shards
from components.data.prepare.ingest import Ingested
from components.data.prepare.pieces import SHARDS, MapPieces, Piece, Progress, read_plan, tell, write_plan
from components.data.shards import Slice, member_name, padded, shard_name, write_shard
from components.data.sources.base import SCRATCH
from components.data.tables import FRAME_COLUMNS

PLAN = "shards.parquet"
ENDING = re.compile(r"\.[a-z0-9]{1,8}")


def pack(
    images: pd.DataFrame, found: Ingested, folder: Path, copy: bool, map_pieces: MapPieces
) -> pd.DataFrame:
    """Write what `images` shows (column `place`, as in `Ingested`) into shards in `folder`.

    What lies where in them follows from the sizes: it is planned first, then each shard is written by itself.

    Args:
        copy: False: only what lies in `folder`, as frames of clips do, becomes shards; pictures stay where
            they are.

    Returns:
        The table of frames, with `FRAME_COLUMNS`; `file` is a shard's name, or an absolute path.
    """
    pictures = images[["place", "file_name", "sha256"]].drop_duplicates("place")
    frames = pictures.merge(found.frames, on="place")
    moved = copy | frames["file"].str.startswith(f"{folder.absolute()}{os.sep}")
    planned = _plan(frames[moved])
    work = (folder / SCRATCH).absolute()
    pieces, sizes = write_plan(work / PLAN, planned, planned["shard"])
    files = map_pieces(pack_shard, pieces, sizes, work=work, identity=found.identity)
    for piece, file in zip(pieces, files, strict=True):
        file.replace(folder / shard_name(piece.number))
    resolved = {file: str(Path(file).resolve()) for file in frames["file"][~moved].unique()}
    frames["file"] = frames["file"].map(resolved).astype("str").fillna(planned["shard"].map(shard_name))
    frames["offset"] = frames["offset"].where(~moved, planned["at"])
    return images[["image_id", "place"]].merge(frames, on="place")[FRAME_COLUMNS]


def _plan(frames: pd.DataFrame) -> pd.DataFrame:
    """`frames` with the `shard` that each goes to, its `name` and where its bytes begin (`at`) in there."""
    clips = frames.groupby("place", sort=False)
    place, frame = clips.ngroup().to_numpy(), clips.cumcount()
    room = padded(frames["size"].to_numpy())
    total = np.bincount(place, room).astype(np.int64)  # of whole clips, none of which is cut in two
    shard = pd.factorize((total.cumsum() - total) // shards.SHARD_SIZE)[0][place]
    before = room.cumsum() - room
    first = np.searchsorted(shard, shard)
    rows = zip(place, frame, clips["size"].transform("size"), _endings(frames), strict=True)
    return frames.assign(
        shard=shard, at=before - before[first] + shards.HEADER, name=[member_name(*row) for row in rows]
    )


def _endings(frames: pd.DataFrame) -> list[str]:
    """Of each file's name; of a slice of a larger file, of its own name."""
    names = frames["file"].where(frames["offset"] == 0, frames["file_name"])
    endings = [PurePath(name).suffix.lower() for name in names]
    return [ending if ENDING.fullmatch(ending) else ".img" for ending in endings]


def pack_shard(piece: Piece, progress: Progress | None, *, work: Path, identity: str) -> Path:
    """The shard of one piece; written now, unless it is there already."""
    plan = read_plan(work / PLAN, piece)
    members = [*zip(plan["name"], plan["sha256"], strict=True)]
    key = hashlib.sha256(repr((identity, members)).encode()).hexdigest()[:32]
    done = work / SHARDS / f"{key}.tar"
    if not done.exists():
        places = zip(plan["file"], plan["offset"], plan["size"], strict=True)
        slices = (Slice(Path(file), int(offset), int(size)) for file, offset, size in places)
        write_shard(done, zip(plan["name"], slices, strict=True))
    tell(progress, len(plan))
    return done


def portable(frames: pd.DataFrame, out: Path) -> pd.DataFrame:
    """`frames` with files inside the project (the working directory) as seen from `out`: it may move."""

    here, seen_from_out = Path.cwd(), cache(partial(os.path.relpath, start=out))

    def seen(file: str) -> str:
        path = Path(file)
        return Path(seen_from_out(path.parent), path.name).as_posix() if here in path.parents else file

    names = {file: seen(file) for file in frames["file"].unique()}
    return frames.assign(file=frames["file"].map(names))
