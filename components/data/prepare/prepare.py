"""Stage `prepare`: read a source, check it, describe it, show it, and only then let it appear.

source -> pictures decoded -> splits -> schemas -> fail or quarantine -> shards, tables, card, contact sheet

What takes long is done in pieces, each a task. Until the data set is whole it lies in a folder beside it,
`OUT.unfinished`, where the next run finds the pieces that are finished.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from components.config import DataParams
from components.data.prepare.card import data_card
from components.data.prepare.contact_sheet import contact_sheet, mixed
from components.data.prepare.ingest import Ingested, ingest_all
from components.data.prepare.pack import pack, portable
from components.data.prepare.pieces import KEPT, MapPieces, Progress, one_by_one, tell
from components.data.prepare.quarantine import quarantine
from components.data.prepare.report import write_report
from components.data.prepare.rules import severities
from components.data.prepare.splits import assign_splits
from components.data.prepare.twins import twin_groups
from components.data.prepare.validate import describe, validate
from components.data.sources import Raw, Source, source_of
from components.data.sources.base import SCRATCH
from components.data.sources.sharded import ShardedSource, ShardFile
from components.data.tables import CAPTION_COLUMNS, IMAGE_COLUMNS, LICENCE, Tables, write_tables
from components.data.watched import require_watchable
from components.errors import UserError
from components.files import atomic_path


def prepare(
    data: DataParams, out: str | Path, report: str | Path, map_pieces: MapPieces = one_by_one
) -> Tables:
    """Write a checked data set to `out`: tables, shards, quarantine, card, contact sheet. All or nothing.

    Args:
        data: with on_invalid `fail`, any fault ends it; `quarantine` moves faulty rows to quarantine.parquet
            and goes on; `severity` says so for single rules; `copy` false leaves pictures in the source's
            files; `licence` is of a source without one of its own
        report: folder of the validation report, written in both cases
        map_pieces: decodes and packs pictures somewhere else; the data set is the same to the byte

    Raises:
        UserError: unknown source or option, or faults that may not or cannot be quarantined; names the
        first of them.
    """
    require_watchable(data.folder)
    out, severity = Path(out), severities(data.on_invalid, data.severity)
    with _unfinished(out) as folder:
        source = source_of(data, folder)
        raw = read(source, folder, map_pieces)
        tables, found = collect(raw, source, folder, map_pieces)
        images = tables.images.assign(twins=twin_groups(tables.images))
        tables = replace(tables, images=images.assign(split=assign_splits(images, data)))
        licence = source.licence or data.licence
        about = {"source": source.name, "seed": data.seed, "origin": raw.root.name, "licence": licence}
        clean, removed, card = check(tables, found.frames, Path(report), severity, raw, about)
        frames = pack(clean.images, found, folder, data.copy_, map_pieces)
        clean = _finish(replace(clean, frames=frames), removed, card, licence)
        clean = replace(clean, frames=portable(frames, out))
        write_tables(clean)
    return replace(clean, folder=out)


@contextmanager
def _unfinished(out: Path) -> Iterator[Path]:
    """The folder that becomes `out`. If the body fails, what pieces have finished stays there for the next
    run, if there is any; what a source writes, it writes anew.

    Raises:
        UserError: another run is at work there.
    """
    folder = out.absolute().with_name(f"{out.name}.unfinished")
    work = folder / SCRATCH
    work.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(work / "lock", timeout=0):
            _clear(folder)
            try:
                yield folder
            except BaseException:
                _clear(folder)
                if not any((work / name).exists() for name in KEPT):
                    shutil.rmtree(folder)
                raise
            shutil.rmtree(work)
            with atomic_path(out) as fresh:
                folder.replace(fresh)
    except Timeout:
        raise UserError(f"{folder}: another run is at work there. Wait for it, or end it.") from None


def _clear(folder: Path) -> None:
    """Take away everything but what pieces have finished, and the lock."""
    work = folder / SCRATCH
    for path in [*folder.iterdir(), *work.iterdir()]:
        if path != work and path.name not in (*KEPT, "lock"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def read(source: Source, folder: Path, map_pieces: MapPieces) -> Raw:
    """What `source` says; of one with many files each is a piece."""
    if not isinstance(source, ShardedSource):
        return source.read(folder)
    shards = source.shards()
    return source.joined(map_pieces(read_shard, shards, [1] * len(shards), source=source))


def read_shard(piece: ShardFile, progress: Progress | None, *, source: ShardedSource) -> Raw:
    """The piece that one file is."""
    raw = source.read_shard(piece)
    tell(progress, 1)
    return raw


def collect(raw: Raw, source: Source, folder: Path, map_pieces: MapPieces) -> tuple[Tables, Ingested]:
    """The tables that `source` has read with what decoding found, faults and all; and the frames."""
    print(*raw.notes, sep="\n", end="\n" if raw.notes else "")
    tables = tables_of(raw, folder)
    found = ingest_all(tables.images, raw.root, folder / SCRATCH, source, map_pieces)
    return replace(tables, images=found.images), found


def tables_of(raw: Raw, folder: Path) -> Tables:
    """What a source has read, under the names of our columns; no picture has been looked at."""
    images = raw.images.rename(columns={"file": "file_name"}).reset_index(drop=True)
    return Tables(images, raw.captions.assign(caption_id=range(len(raw.captions))), folder)


def check(
    tables: Tables,
    frames: pd.DataFrame,
    report: Path,
    severity: Mapping[str, str],
    raw: Raw,
    about: Mapping[str, Any],
) -> tuple[Tables, pd.DataFrame, str]:
    """Validate, write the report, then raise, or take out what is faulty: (the rest, what was taken out, the
    card of the rest)."""
    faults = validate(tables)
    fatal = faults[faults["fault"].map(severity) == "fail"]
    clean, removed, card = tables, pd.DataFrame(columns=["table", "index"]), ""
    try:
        if fatal.empty:
            clean, removed = quarantine(tables, faults, severity)
            card = data_card(clean, removed=len(removed), **about)
    finally:
        summary = {"left_out": raw.left_out, "notes": list(raw.notes)}
        write_report(report, replace(tables, frames=frames), clean, faults, removed, severity, summary, card)
    if not fatal.empty:
        more = f"All of them: {report / 'faults.parquet'}; to look at: {report / 'index.html'}."
        if fatal["index"].notna().all():
            more += " To go on without the faulty rows: data.on_invalid: quarantine."
        raise UserError(describe(fatal, more))
    return clean, removed, card


def _finish(tables: Tables, removed: pd.DataFrame, card: str, licence: str) -> Tables:
    """Everything that lies in the folder besides the shards."""
    folder = tables.folder
    images = _columns(tables.images.drop(columns=["problem", "detail", "place", "twins"]), IMAGE_COLUMNS)
    captions = _columns(tables.captions.drop(columns=["problem", "detail"]), CAPTION_COLUMNS)
    images = images.astype({"width": "int64", "height": "int64", "num_frames": "int64"})
    tables = Tables(images.reset_index(drop=True), captions.reset_index(drop=True), folder, tables.frames)
    if not removed.empty:
        removed.astype("str").to_parquet(folder / "quarantine.parquet", index=False)
    (folder / "card.md").write_text(card, encoding="utf-8")
    if licence:
        (folder / LICENCE).write_text(licence, encoding="utf-8")
    contact_sheet(mixed(tables, 40)).save(folder / "contact_sheet.png")
    return tables


def _columns(frame: pd.DataFrame, first: list[str]) -> pd.DataFrame:
    """`frame` with the canonical columns first, without columns that are empty throughout."""
    rest = [column for column in frame.columns if column not in first and frame[column].notna().any()]
    return frame[[*first, *rest]]
