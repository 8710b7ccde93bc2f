"""The report of the stage `prepare`: a page to look at, and what was found wrong as JSON and Parquet.

index.html        the page (`prepare.page`); opens from the file system
validation.json   counts, for MLflow and the page
faults.parquet    every fault: table, row, value, reason, advice
"""

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from components.data.prepare.page import render
from components.data.prepare.rules import number_of_words
from components.data.prepare.schema import annotate
from components.data.prepare.validate import count
from components.data.tables import SPLITS, Tables
from components.files import atomic_path

LISTED = 1000  # sentences in two splits, in validation.json


def write_report(
    folder: str | Path,
    tables: Tables,
    clean: Tables,
    faults: pd.DataFrame,
    quarantine: pd.DataFrame,
    severity: Mapping[str, str],
    source: dict[str, Any],
    card: str,
) -> dict[str, Any]:
    """Write the three files into `folder` and return what validation.json says.

    Args:
        tables: the data as it came, with the columns `place` of images and frames (`prepare.ingest`)
        clean: what is left of it
        faults: what was found in `tables`
        quarantine: the rows taken out, if any
        severity: of each rule
        source: what reading told: notes, and how much was left out
        card: the data card, Markdown; '' where the data have faults that end it
    """
    folder = Path(folder)
    faults = faults.assign(severity=faults["fault"].map(severity))
    summary = summarize(clean, faults, quarantine) | source
    if repeated := in_two_splits(tables):
        summary["sentences_in_two_splits"] = repeated
    with atomic_path(folder / "faults.parquet") as path:
        faults.astype({"value": "str", "row": "str", "image_id": "str"}).to_parquet(path, index=False)
    with atomic_path(folder / "validation.json") as path:
        path.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    with atomic_path(folder / "index.html") as path:
        html = render(summary, tables, clean, faults, card)
        path.write_text(html, encoding="utf-8", errors="backslashreplace")
    return summary


def summarize(tables: Tables, faults: pd.DataFrame, quarantine: pd.DataFrame) -> dict[str, Any]:
    """Counts that tell two versions of the data apart."""
    words = number_of_words(tables.captions["caption"])
    references = tables.captions["image_id"].value_counts()
    out = quarantine["table"].value_counts()
    return {
        "images": {split: int((tables.images["split"] == split).sum()) for split in SPLITS},
        "captions": len(tables.captions),
        "captions_an_image": _spread(references),
        "words_a_caption": _spread(words),
        "faults": count(faults[faults["severity"] != "report"]),
        "reported": count(faults[faults["severity"] == "report"]),
        "quarantined": {"images": int(out.get("images", 0)), "captions": int(out.get("captions", 0))},
    }


def in_two_splits(tables: Tables) -> dict[str, Any]:
    """The sentences that stand in more than one split: their number, and the first of them by split."""
    _, captions = annotate(tables.images, tables.captions)
    captions = captions[captions["split"].isin(SPLITS) & (captions["key"] != "")]
    pairs = captions[["key", "split"]].drop_duplicates()
    several = pairs[pairs["key"].duplicated(keep=False)].groupby("key", sort=False)["split"]
    if not several.ngroups:
        return {}
    examples = {key: sorted(splits) for key, splits in itertools.islice(several, LISTED)}
    return {"number": several.ngroups, "examples": examples}


def data_counts(path: str | Path) -> dict[str, int]:
    """The counts in the validation.json at `path`, and in near_twins.json beside it, as parameters of runs:
    data/images/train, data/faults/..., data/near_twins/...; none without the file.
    """
    path = Path(path)
    if not path.exists():
        return {}
    summary = json.loads(path.read_text(encoding="utf-8"))
    counts = {"captions": summary["captions"], "faults": sum(summary["faults"].values())}
    for group in ("images", "faults", "reported", "quarantined", "left_out"):
        counts |= {f"{group}/{name}": number for name, number in summary[group].items()}
    counts["sentences_in_two_splits"] = summary.get("sentences_in_two_splits", {}).get("number", 0)
    if (beside := path.with_name("near_twins.json")).exists():
        found = json.loads(beside.read_text(encoding="utf-8"))["near_twins"]
        counts |= {f"near_twins/{name}": number for name, number in found.items()}
    return {f"data/{name}": number for name, number in counts.items()}


def _spread(values: pd.Series) -> dict[str, float]:
    if values.empty:
        return {}
    return {"min": int(values.min()), "mean": round(float(values.mean()), 2), "max": int(values.max())}
