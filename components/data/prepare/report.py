"""The report on what was found wrong: a page with thumbnails, and the same as JSON and Parquet.

index.html        to look at; opens from the file system
validation.json   counts, for MLflow and the page
faults.parquet    every fault: table, row, value, reason, advice
"""

import itertools
import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from components.data.display import data_uri
from components.data.pictures import Problem, load_rgb
from components.data.prepare.rules import number_of_words
from components.data.prepare.schema import annotate
from components.data.prepare.twins import TWIN_RULES, counterparts
from components.data.prepare.validate import count
from components.data.shards import Slice
from components.data.tables import SPLITS, Tables
from components.files import atomic_path

LISTED = 1000  # sentences in two splits, in validation.json
EXAMPLES = 12  # of each kind of fault on the page
THUMBNAIL = 96
TEMPLATE = Path(__file__).with_name("report.html.j2")


def write_report(
    folder: str | Path,
    tables: Tables,
    clean: Tables,
    faults: pd.DataFrame,
    quarantine: pd.DataFrame,
    severity: Mapping[str, str],
    source: dict[str, Any],
) -> dict[str, Any]:
    """Write the three files into `folder` and return what validation.json says.

    Args:
        tables: the data as it came, with the columns `place` of images and frames (`prepare.ingest`)
        clean: what is left of it
        faults: what was found in `tables`
        quarantine: the rows taken out, if any
        severity: of each rule
        source: what reading told: notes, and how much was left out
    """
    folder = Path(folder)
    faults = faults.assign(severity=faults["fault"].map(severity))
    summary = summarize(clean, faults, quarantine) | source
    if repeated := in_two_splits(tables):
        summary["sentences_in_two_splits"] = repeated
    page = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        TEMPLATE.read_text()
    )
    with atomic_path(folder / "faults.parquet") as path:
        faults.astype({"value": "str", "row": "str", "image_id": "str"}).to_parquet(path, index=False)
    with atomic_path(folder / "validation.json") as path:
        path.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    with atomic_path(folder / "index.html") as path:
        html = page.render(summary=summary, kinds=_kinds(faults, tables), examples=EXAMPLES)
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


def data_metrics(path: str | Path) -> dict[str, float]:
    """The counts in the validation.json at `path`, and in near_twins.json beside it, as MLflow metrics:
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
    return {f"data/{name}": float(number) for name, number in counts.items()}


def _spread(values: pd.Series) -> dict[str, float]:
    if values.empty:
        return {}
    return {"min": int(values.min()), "mean": round(float(values.mean()), 2), "max": int(values.max())}


def _kinds(faults: pd.DataFrame, tables: Tables) -> list[dict[str, Any]]:
    """One entry a kind of fault: name, count, reason, advice, examples with thumbnails."""
    groups: dict[str, list[Any]] = defaultdict(list)
    twins = counterparts(tables.images, faults.groupby("fault").head(EXAMPLES))["twin"]
    for fault in faults.rename(columns={"index": "index_"}).itertuples():
        groups[fault.fault].append(fault)
    return [
        {
            "name": name,
            "count": len(group),
            "pictures": "pair" if name in TWIN_RULES else "picture",
            "severity": group[0].severity,
            "reason": group[0].reason,
            "advice": group[0].advice,
            "rows": [_example(fault, tables, twins) for fault in group[:EXAMPLES]],
        }
        for name, group in sorted(groups.items(), key=lambda item: -len(item[1]))
    ]


def _example(fault: Any, tables: Tables, twins: pd.Series) -> dict[str, Any]:
    """One row of the page. Only pictures decoded before are shown: nothing outside the data is opened.

    Args:
        twins: labels of the images that are shown beside, by the label of the fault.
    """
    shown = [_image_of(fault, tables.images)]
    if fault.Index in twins.index:
        shown.append(tables.images.loc[twins[fault.Index]])
    text = "" if pd.isna(fault.value) else str(fault.value)
    return {
        "row": "" if pd.isna(fault.row) else str(fault.row),
        "image_id": "" if pd.isna(fault.image_id) else str(fault.image_id),
        "value": text[:200] if text.isprintable() else text[:200].encode("unicode_escape").decode(),
        "thumbnails": [uri for image in shown if (uri := _thumbnail(image, tables.frames))],
    }


def _image_of(fault: Any, images: pd.DataFrame) -> pd.Series | None:
    """The row of the image that a fault is about, if there is one."""
    if fault.table == "images":
        return None if pd.isna(fault.index_) else images.loc[fault.index_]
    rows = images[images["image_id"] == fault.image_id]
    return None if rows.empty else rows.iloc[0]


def _thumbnail(image: pd.Series | None, frames: pd.DataFrame) -> str:
    """The picture as a data URI, or nothing where there is none to show."""
    if image is None or pd.isna(image["sha256"]):
        return ""
    shown = frames[frames["place"] == image["place"]]
    frame = shown.iloc[len(shown) // 2]
    try:
        picture = load_rgb(Slice(Path(frame["file"]), int(frame["offset"]), int(frame["size"])))
    except Problem:
        return ""
    return data_uri(picture, longest=THUMBNAIL)
