"""A look at a user's data without decoding all of it: the tables completely, pictures at random places."""

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from components.config import DataParams
from components.data.prepare.ingest import FOUND, SLICE, Ingested, ingest_all
from components.data.prepare.pack import pack
from components.data.prepare.prepare import read, tables_of
from components.data.prepare.rules import severities
from components.data.prepare.splits import assign_splits
from components.data.prepare.validate import validate
from components.data.sources import source_of
from components.data.sources.base import SCRATCH
from components.data.tables import SPLITS, Tables
from components.errors import UserError
from components.planning.costs import Size

PICTURES = 256
COPIES = 4
"""Of the tables in memory at once: 3.3 while 120,000 images are checked, and what the source has read."""

SCENES = 2000
"""Drawn of the embedded data set, which has no files to look into: enough for every word of its captions."""


@dataclass(frozen=True)
class Sample:
    """What was found.

    Attributes:
        size: of the whole data set.
        pictures: those that were opened without a fault, with their captions, ready to be encoded.
        faults: of the whole tables and of the opened pictures, with `severity`.
        read: pairs a second, into checked tables.
        decode: pictures a second, by all cores.
        pair: bytes of memory an image with its captions takes, while they are checked.
        opened: how many pictures were decoded.
        notes: what the source told of the files.
    """

    size: Size
    pictures: Tables
    faults: pd.DataFrame
    read: float
    decode: float
    pair: float
    opened: int
    notes: tuple[str, ...]


def look(data: DataParams, folder: Path, number: int = PICTURES) -> Sample:
    """Read the tables of `data`, check them, and open `number` pictures.

    Args:
        folder: an empty one, for what a source writes.

    Raises:
        UserError: whatever `prepare` would raise before it decodes anything; or no picture can be opened.
    """
    severity = severities(data.on_invalid, data.severity)
    start = time.perf_counter()
    part = _drawn(data)
    source = source_of(part, folder)
    raw = read(source, folder, in_threads)
    tables = tables_of(raw, folder)
    seconds = time.perf_counter() - start
    picked = tables.images.sample(min(number, len(tables.images)), random_state=data.seed)
    start = time.perf_counter()
    found = ingest_all(picked, raw.root, folder / SCRATCH, source, in_threads)
    decode = len(picked) / (time.perf_counter() - start)
    start = time.perf_counter()
    images = tables.images.drop(columns=SLICE[1:], errors="ignore").join(found.images[[*FOUND, "place"]])
    tables = replace(tables, images=images.assign(split=assign_splits(images, data)))
    faults = validate(tables)
    seconds += time.perf_counter() - start
    pictures = _pictures(tables, found)
    scale = data.options.get("num_images", len(images)) / len(images) if data.source == "scenes" else 1.0
    return Sample(
        _size(tables, pictures, scale),
        pictures,
        faults.assign(severity=faults["fault"].map(severity)),
        read=len(images) / seconds,
        decode=decode,
        pair=COPIES * sum(_memory(table) for table in (tables.images, tables.captions)) / len(images),
        opened=len(picked),
        notes=raw.notes,
    )


def in_threads(function: Callable, pieces: Sequence[Any], sizes: Sequence[int], **fixed: Any) -> list[Any]:
    """`MapPieces` on all cores, as the stage does it."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return [*pool.map(lambda piece: function(piece, None, **fixed), pieces)]


def _memory(table: pd.DataFrame) -> int:
    return int(table.memory_usage(deep=True).sum())


def _drawn(data: DataParams) -> DataParams:
    """`data`, but of the scenes fewer."""
    if data.source != "scenes" or data.options["num_images"] <= SCENES:
        return data
    return DataParams.model_validate(data.model_dump(by_alias=True) | {"num_images": SCENES})


def _pictures(tables: Tables, found: Ingested) -> Tables:
    """Those that were opened and have a caption, in a shard, whatever their split."""
    images = tables.images[tables.images["sha256"].notna()].drop_duplicates("image_id")
    captions = tables.captions[tables.captions["caption"].fillna("").str.strip() != ""]
    images = images[images["image_id"].isin(captions["image_id"])].reset_index(drop=True)
    if images.empty:
        problem = tables.images["detail"].dropna()
        told = f" The first: {problem.iloc[0]}." if len(problem) else ""
        raise UserError(f"data: of the pictures that were tried, none can be opened and has a caption.{told}")
    captions = captions[captions["image_id"].isin(images["image_id"])].reset_index(drop=True)
    images = images.astype({"num_frames": "int64"})
    frames = pack(images, found, tables.folder, copy=True, map_pieces=in_threads)
    return Tables(images, captions, tables.folder, frames)


def _size(tables: Tables, pictures: Tables, scale: float) -> Size:
    count = tables.images["split"].value_counts()
    train, val, test = (round(scale * int(count.get(split, 0))) for split in SPLITS)
    return Size(
        train,
        val,
        test,
        captions=round(scale * len(tables.captions)),
        picture=float(pictures.frames["size"].mean()),
        frames=float(pictures.images["num_frames"].mean()),
    )


def repeated(pictures: Tables, train: int, val: int) -> Tables:
    """`pictures` again and again, under ids of their own, until there are `train` and `val` of them."""
    order = pd.Series([i % len(pictures.images) for i in range(train + val)])
    images = pictures.images.iloc[order].reset_index(drop=True)
    names = images["image_id"] + [f" {i}" for i in range(len(images))]
    ids = pd.DataFrame({"image_id": images["image_id"], "name": names})
    captions = pictures.captions.merge(ids, on="image_id")
    captions = captions.assign(image_id=captions["name"], caption_id=range(len(captions)))
    frames = pictures.frames.merge(ids, on="image_id").sort_values("name", kind="stable", ignore_index=True)
    frames = frames.assign(image_id=frames["name"])  # those of an image stand together
    images = images.assign(image_id=names, split=["train"] * train + ["val"] * val)
    return replace(
        pictures,
        images=images,
        captions=captions.drop(columns="name"),
        frames=frames.drop(columns="name"),
    )
