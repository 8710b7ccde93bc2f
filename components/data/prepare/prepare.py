"""Stage `prepare`: read a source, check it, describe it, show it, and only then let it appear.

source -> pictures decoded -> splits -> schemas -> fail or quarantine -> shards, tables, card, contact sheet
"""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from components.config import DataParams
from components.data.prepare.card import write_card
from components.data.prepare.contact_sheet import contact_sheet, mixed
from components.data.prepare.ingest import PLACE, ingest_all
from components.data.prepare.pack import pack, portable
from components.data.prepare.quarantine import quarantine
from components.data.prepare.report import write_report
from components.data.prepare.rules import severities
from components.data.prepare.splits import assign_splits
from components.data.prepare.validate import describe, validate
from components.data.sources import Raw, Source, source_of
from components.data.sources.base import SCRATCH
from components.data.tables import CAPTION_COLUMNS, IMAGE_COLUMNS, Tables, write_tables
from components.data.watched import require_watchable
from components.errors import UserError
from components.files import atomic_path


def prepare(data: DataParams, out: str | Path, report: str | Path) -> Tables:
    """Write a checked data set to `out`: tables, shards, quarantine, card, contact sheet. All or nothing.

    Args:
        data: with on_invalid `fail`, any fault ends it; `quarantine` moves faulty rows to quarantine.parquet
            and goes on; `severity` says so for single rules; `copy` false leaves pictures in the source's
            files; `licence` is of a source without one of its own
        report: folder of the validation report, written in both cases

    Raises:
        UserError: unknown source or option, or faults that may not or cannot be quarantined; names the
        first of them.
    """
    require_watchable(data.folder)
    out, severity = Path(out), severities(data.on_invalid, data.severity)
    with atomic_path(out) as folder:
        source = source_of(data, folder)
        tables, raw = collect(source, folder)
        tables = Tables(
            tables.images.assign(split=assign_splits(tables.images, data)), tables.captions, folder
        )
        clean, removed = check(tables, Path(report), severity, raw)
        licence = source.licence or data.licence
        frames = pack(clean.images, folder, data.copy_)
        shutil.rmtree(folder / SCRATCH, ignore_errors=True)
        about = {"source": source.name, "seed": data.seed, "origin": raw.root.name, "licence": licence}
        clean = _finish(replace(clean, frames=frames), removed, **about)
        clean = replace(clean, frames=portable(frames, out))
        write_tables(clean)
    return replace(clean, folder=out)


def collect(source: Source, folder: Path) -> tuple[Tables, Raw]:
    """The tables of `source` with what decoding found, faults and all, and what it read."""
    folder.mkdir(parents=True, exist_ok=True)
    raw = source.read(folder)
    print(*raw.notes, sep="\n", end="\n" if raw.notes else "")
    images = raw.images.rename(columns={"file": "file_name"}).reset_index(drop=True)
    found = ingest_all(images, raw.root, folder / SCRATCH, source.ingest)
    images = pd.concat([images.drop(columns=list(PLACE), errors="ignore"), found], axis=1)
    captions = raw.captions.assign(caption_id=range(len(raw.captions)))
    return Tables(images, captions, folder), raw


def check(tables: Tables, report: Path, severity: Mapping[str, str], raw: Raw) -> tuple[Tables, pd.DataFrame]:
    """Validate, write the report, then raise, or take out what is faulty: (the rest, what was taken out)."""
    faults = validate(tables)
    fatal = faults[faults["fault"].map(severity) == "fail"]
    clean, removed = tables, pd.DataFrame(columns=["table", "index"])
    try:
        if fatal.empty:
            clean, removed = quarantine(tables, faults, severity)
    finally:
        summary = {"left_out": raw.left_out, "notes": list(raw.notes)}
        write_report(report, tables, clean, faults, removed, severity, summary)
    if not fatal.empty:
        more = f"All of them: {report / 'faults.parquet'}; to look at: {report / 'index.html'}."
        if fatal["index"].notna().all():
            more += " To go on without the faulty rows: data.on_invalid: quarantine."
        raise UserError(describe(fatal, more))
    return clean, removed


def _finish(tables: Tables, removed: pd.DataFrame, **about: Any) -> Tables:
    """Everything that lies in the folder besides the shards."""
    folder = tables.folder
    images = _columns(tables.images.drop(columns=["problem", "detail", "frames"]), IMAGE_COLUMNS)
    captions = _columns(tables.captions.drop(columns=["problem", "detail"]), CAPTION_COLUMNS)
    images = images.astype({"width": "int64", "height": "int64", "num_frames": "int64"})
    tables = Tables(images.reset_index(drop=True), captions.reset_index(drop=True), folder, tables.frames)
    if not removed.empty:
        removed.astype("str").to_parquet(folder / "quarantine.parquet", index=False)
    write_card(tables, removed=len(removed), **about)
    contact_sheet(mixed(tables, 40)).save(folder / "contact_sheet.png")
    return tables


def _columns(frame: pd.DataFrame, first: list[str]) -> pd.DataFrame:
    """`frame` with the canonical columns first, without columns that are empty throughout."""
    rest = [column for column in frame.columns if column not in first and frame[column].notna().any()]
    return frame[[*first, *rest]]
