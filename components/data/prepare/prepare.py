"""Stage `prepare`: read a source, check it, describe it, show it, and only then let it appear.

source -> files decoded and copied -> splits -> schemas -> fail or quarantine -> tables, card, contact sheet
"""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd

from components.data.prepare.card import write_card
from components.data.prepare.contact_sheet import contact_sheet, mixed
from components.data.prepare.ingest import ingest_all
from components.data.prepare.quarantine import quarantine
from components.data.prepare.report import write_report
from components.data.prepare.splits import assign_splits
from components.data.prepare.validate import describe, validate
from components.data.sources import Options, Source, source_named
from components.data.tables import CAPTION_COLUMNS, IMAGE_COLUMNS, Tables, write_tables
from components.errors import UserError
from components.files import atomic_path

ON_INVALID = ("fail", "quarantine")


def prepare(
    out: str | Path,
    *,
    source: str = "scenes",
    on_invalid: str = "fail",
    splits: str = "auto",
    val_share: float = 0.1,
    test_share: float = 0.1,
    seed: int = 0,
    report: str | Path | None = None,
    licence: str = "",
    **options: Any,
) -> Tables:
    """Write a checked data set to `out`: tables, pictures, quarantine, card, contact sheet. All or nothing.

    Args:
        on_invalid: `fail` stops at any fault; `quarantine` moves faulty rows to quarantine.parquet and
            goes on
        splits, val_share, test_share: see `assign_splits`
        report: folder of the validation report, written in both cases; default: `out` with "-report"
            added
        licence: of the data, where the source has none of its own
        options: what the source takes (`Options`)

    Raises:
        UserError: unknown source or option, or faults that may not or cannot be quarantined; names the
        first of them.
    """
    if on_invalid not in ON_INVALID:
        raise UserError(f"data.on_invalid is {on_invalid!r}. Known: {', '.join(ON_INVALID)}.")
    out = Path(out)
    report = Path(report) if report else out.with_name(f"{out.name}-report")
    reader = source_named(source, _options(options | {"seed": seed}))
    with atomic_path(out) as folder:
        tables, root = collect(reader, folder)
        made = assign_splits(tables.images, mode=splits, val=val_share, test=test_share, seed=seed)
        tables = Tables(tables.images.assign(split=made), tables.captions, folder)
        clean, removed = check(tables, report, on_invalid)
        clean = _finish(
            clean, removed, source=source, seed=seed, origin=root.name, licence=reader.licence or licence
        )
    return Tables(clean.images, clean.captions, out)


def collect(source: Source, folder: Path) -> tuple[Tables, Path]:
    """Bring tables and files of `source` into `folder`; returns them, faults and all, and their origin."""
    folder.mkdir(parents=True, exist_ok=True)
    raw = source.read(folder)
    images = raw.images.rename(columns={"file": "file_name"})
    found = ingest_all(images["file_name"].tolist(), raw.root, folder / "images", source.ingest)
    images = pd.concat([images.reset_index(drop=True), found], axis=1)
    captions = raw.captions.assign(caption_id=range(len(raw.captions)))
    return Tables(images, captions, folder), raw.root


def check(tables: Tables, report: Path, on_invalid: str) -> tuple[Tables, pd.DataFrame]:
    """Validate, write the report, then raise, or take out what is faulty: (the rest, what was taken out)."""
    faults = validate(tables)
    clean, removed = tables, pd.DataFrame(columns=["table", "index"])
    try:
        if on_invalid == "quarantine":
            clean, removed = quarantine(tables, faults)
    finally:
        write_report(report, tables, clean, faults, removed)
    if on_invalid == "fail" and not faults.empty:
        more = f"All of them: {report / 'faults.parquet'}; to look at: {report / 'index.html'}. "
        raise UserError(
            describe(faults, more + "To go on without the faulty rows: data.on_invalid: quarantine.")
        )
    return clean, removed


def _finish(tables: Tables, removed: pd.DataFrame, **about: Any) -> Tables:
    """Everything that lies in the folder besides the pictures; pictures that no row names are deleted."""
    folder = tables.folder
    images = _columns(tables.images.drop(columns=["problem", "detail"]), IMAGE_COLUMNS)
    captions = _columns(tables.captions.drop(columns=["problem", "detail"]), CAPTION_COLUMNS)
    images = images.astype({"width": "int64", "height": "int64", "num_frames": "int64"})
    tables = write_tables(folder, images.reset_index(drop=True), captions.reset_index(drop=True))
    if not removed.empty:
        removed.astype("str").to_parquet(folder / "quarantine.parquet", index=False)
    _delete_strangers(folder / "images", set(images["file_name"]))
    write_card(tables, removed=len(removed), **about)
    contact_sheet(mixed(tables, 40)).save(folder / "contact_sheet.png")
    return tables


def _columns(frame: pd.DataFrame, first: list[str]) -> pd.DataFrame:
    """`frame` with the canonical columns first, without columns that are empty throughout."""
    rest = [column for column in frame.columns if column not in first and frame[column].notna().any()]
    return frame[[*first, *rest]]


def _delete_strangers(folder: Path, names: set[str]) -> None:
    """Files of quarantined rows; a clip's frames lie in a folder of the clip's name."""
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in names and path.parent.relative_to(folder).as_posix() not in names:
            path.unlink()


def _options(values: dict[str, Any]) -> Options:
    known = [field.name for field in fields(Options)]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise UserError(f"data: unknown key {', '.join(unknown)}. Known to sources: {', '.join(known)}.")
    return Options(**values)
