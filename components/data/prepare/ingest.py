"""Look at every picture of a source: decode it completely, hash it, and say where its bytes lie.

Nothing is believed that was not decoded. Pictures are looked at in pieces (`pieces`), and those that are
finished are kept until the data set is complete.
"""

import hashlib
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.code import code_digest
from components.data.looks import look_at
from components.data.pictures import Problem
from components.data.prepare.pieces import (
    CLIPS,
    TABLES,
    MapPieces,
    Piece,
    Progress,
    read_plan,
    tell,
    write_plan,
)
from components.data.shards import Slice
from components.data.sources import Source
from components.data.sources.locate import not_found
from components.files import atomic_path

PIECES = 64  # about, that pictures are cut into; more where these would be larger than
PIECE_SIZE = (64, 16384)  # pictures, at least and at most: fewer tasks, more to do again after a kill
REPORTED = 64  # pictures after which a task says how far it is

PLAN = "places.parquet"
SLICE = ["file_name", "shard", "offset", "size"]
FOUND = {
    "width": "Int64",
    "height": "Int64",
    "num_frames": "Int64",
    "sha256": "str",
    "phash": "str",
    "brightness": "float64",
    "contrast": "float64",
    "sharpness": "float64",
    "problem": "str",
    "detail": "str",
}
FRAMES = pa.list_(pa.struct({"file": pa.string(), "offset": pa.int64(), "size": pa.int64()}))


class Ingested(NamedTuple):
    """What was found.

    images: the rows that were given, without `SLICE` but `file_name`, with the columns of `FOUND` and
        `place`: one number for rows that name the same picture, missing where none is named
    frames: place, file, offset, size: the bytes of a picture, or of the frames of a clip, a row each
    identity: hash of the code, the source and its options: all but the pictures that decides what is found
    """

    images: pd.DataFrame
    frames: pd.DataFrame
    identity: str


def ingest_all(
    images: pd.DataFrame, root: Path, work: Path, source: Source, map_pieces: MapPieces
) -> Ingested:
    """Look at every picture of `images` (columns as in `Raw`, `file` called `file_name`), and at one that is
    named twice only once. `work` keeps what is finished, and what `source` writes."""
    work.mkdir(parents=True, exist_ok=True)
    named = images.reindex(columns=SLICE)[images["file_name"].str.strip().fillna("") != ""]
    numbers = named.groupby(SLICE, sort=False, dropna=False).ngroup()
    places = named[~numbers.duplicated()].reset_index(drop=True)
    places = places.astype({"shard": "str", "offset": "Int64", "size": "Int64"})
    least, most = PIECE_SIZE
    size = min(max(-(-len(places) // PIECES), least), most)
    pieces, sizes = write_plan(work / PLAN, places, places.index.to_series() // size)
    identity = _identity(source, root)
    about = {"work": work.absolute(), "root": root.absolute(), "source": source, "identity": identity}
    files = map_pieces(look_at_pictures, pieces, sizes, **about)
    found, frames = _read(files)
    found = found.reindex(numbers).set_index(numbers.index).reindex(images.index)
    kept = images.drop(columns=SLICE[1:], errors="ignore").assign(place=numbers.astype("Int64"))
    return Ingested(pd.concat([kept, found.astype(FOUND)], axis=1), frames, identity)


def _identity(source: Source, root: Path) -> str:
    told = [source.name, source.options.model_dump_json(), str(source.seed), str(root.absolute())]
    code = code_digest([__name__, type(source).__module__])
    return hashlib.sha256("\n".join([*told, code]).encode()).hexdigest()


def _read(files: list[Path]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What pieces found, a row a place; and the frames of all places."""
    if not files:
        return pd.DataFrame(columns=list(FOUND)), pd.DataFrame(columns=["place", *SLICE[1:]])
    table = pa.concat_tables([pq.read_table(file) for file in files])
    frames = table["frames"].combine_chunks()
    flat = pa.Table.from_struct_array(pc.list_flatten(frames)).to_pandas()
    flat.insert(0, "place", pc.list_parent_indices(frames).to_numpy())
    return table.drop_columns("frames").to_pandas(), flat


def look_at_pictures(
    piece: Piece, progress: Progress | None, *, work: Path, root: Path, source: Source, identity: str
) -> Path:
    """The file with what is found in the pictures of one piece; made now, unless it is there already."""
    rows = read_plan(work / PLAN, piece).itertuples(index=False, name=None)
    places = [_place(*row, root=root) for row in rows]
    state = _state([place for place in places if isinstance(place, Slice)], work)
    key = hashlib.sha256(repr((identity, places, state)).encode()).hexdigest()[:32]
    done = work / TABLES / f"{key}.parquet"
    if done.exists():
        tell(progress, len(places))
        return done
    found = []
    for start in range(0, len(places), REPORTED):
        some = [_open(place, source, work / CLIPS / key) for place in places[start : start + REPORTED]]
        seen = [row for row in some if "glimpse" in row]
        for row, look in zip(seen, look_at([row.pop("glimpse") for row in seen]), strict=True):
            row |= vars(look)
        found += some
        tell(progress, len(some))
    frames = [[vars(frame) | {"file": str(frame.file)} for frame in row.pop("frames", ())] for row in found]
    table = pa.Table.from_pandas(pd.DataFrame(found, columns=list(FOUND)).astype(FOUND))
    with atomic_path(done) as path:
        pq.write_table(table.append_column("frames", pa.array(frames, FRAMES)), path)
    return done


def _place(name: str, shard: Any, offset: Any, size: Any, *, root: Path) -> Slice | Problem:
    """Where the picture lies, or why it cannot be there."""
    try:
        if isinstance(shard, str):
            return Slice(_shard(root, shard), int(offset), int(size))
        return Slice(inside(root, name))
    except Problem as problem:
        return problem


def _state(places: list[Slice], work: Path) -> list[Any]:
    """Of each file size and time of its last change; of pictures in `work`, which the source writes anew in
    every run, a hash."""
    own = {file: file.is_relative_to(work) for file in dict.fromkeys(place.file for place in places)}
    stats = [file.stat() for file in own if not own[file]]
    hashes = [hashlib.sha256(place.read()).hexdigest() for place in places if own[place.file]]
    return [*((stat.st_size, stat.st_mtime_ns) for stat in stats), *hashes]


def _open(place: Slice | Problem, source: Source, scratch: Path) -> dict[str, Any]:
    try:
        if isinstance(place, Problem):
            raise place
        found = source.ingest(place, scratch)
    except Problem as problem:
        return {"problem": problem.fault, "detail": problem.detail}
    except PermissionError as error:
        return {"problem": "image-unreadable", "detail": str(error.strerror)}
    return vars(found) | {"num_frames": len(found.frames)}


@lru_cache
def _shard(root: Path, name: str) -> Path:
    """`inside`, looked up once for all pictures of a shard."""
    return inside(root, name)


def inside(root: Path, name: str) -> Path:
    """The file `name` below `root`.

    Raises:
        Problem: `name`, or what it links to, lies elsewhere, or there is no such file.
    """
    for path in (PurePosixPath(name), PureWindowsPath(name)):
        if path.is_absolute() or ".." in path.parts or "\x00" in name:
            raise Problem("image-outside", name)
    try:
        file = next((file for n in _spellings(name) if (file := root / n).is_file()), root / name)
        if not file.resolve().is_relative_to(_real(root)):
            raise Problem("image-outside", f"{name} links to {file.resolve()}")
        if not file.is_file():
            raise Problem("image-missing", "a folder" if file.is_dir() else not_found(root, name))
    except OSError as error:  # a name that the file system cannot have
        raise Problem("image-missing", error.strerror or str(error)) from None
    return file


@lru_cache
def _real(root: Path) -> Path:
    return root.resolve()


def _spellings(name: str) -> Iterator[str]:
    """`name`, then as other systems write it: Windows' separators, Apple's decomposed accents."""
    yield name
    for form in ("NFC", "NFD"):
        yield unicodedata.normalize(form, name.replace("\\", "/"))
