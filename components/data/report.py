"""The report on what was found wrong: a page with thumbnails, and the same as JSON and Parquet.

index.html        to look at; opens from the file system
validation.json   counts, for `dvc metrics show` and MLflow
faults.parquet    every fault: table, row, value, reason, advice
"""

import base64
import io
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from PIL import Image

from components.data.pictures import Problem, load_rgb
from components.data.tables import SPLITS, Tables
from components.data.validate import count
from components.files import atomic_path

EXAMPLES = 12  # of each kind of fault on the page
THUMBNAIL = 96
TEMPLATE = Path(__file__).with_name("report.html.j2")


def write_report(
    folder: str | Path, tables: Tables, faults: pd.DataFrame, quarantine: pd.DataFrame, root: Path
) -> dict:
    """Write the three files into `folder` and return what validation.json says.

    Args:
        tables: what is left
        faults: all faults, of the data as it came
        quarantine: the rows taken out, if any
        root: where the source's pictures are
    """
    folder = Path(folder)
    summary = summarize(tables, faults, quarantine)
    page = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        TEMPLATE.read_text()
    )
    with atomic_path(folder / "faults.parquet") as path:
        faults.astype({"value": "str", "row": "str", "image_id": "str"}).to_parquet(path, index=False)
    with atomic_path(folder / "validation.json") as path:
        path.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    with atomic_path(folder / "index.html") as path:
        html = page.render(summary=summary, kinds=_kinds(faults, tables, root), examples=EXAMPLES)
        path.write_text(html, encoding="utf-8", errors="backslashreplace")
    return summary


def summarize(tables: Tables, faults: pd.DataFrame, quarantine: pd.DataFrame) -> dict[str, Any]:
    """Counts that tell two versions of the data apart."""
    words = tables.captions["caption"].fillna("").str.split().str.len()
    references = tables.captions["image_id"].value_counts()
    out = quarantine["table"].value_counts()
    return {
        "images": {split: int((tables.images["split"] == split).sum()) for split in SPLITS},
        "captions": len(tables.captions),
        "captions_an_image": _spread(references),
        "words_a_caption": _spread(words),
        "faults": count(faults),
        "quarantined": {"images": int(out.get("images", 0)), "captions": int(out.get("captions", 0))},
    }


def _spread(values: pd.Series) -> dict[str, float]:
    if values.empty:
        return {}
    return {"min": int(values.min()), "mean": round(float(values.mean()), 2), "max": int(values.max())}


def _kinds(faults: pd.DataFrame, tables: Tables, root: Path) -> list[dict[str, Any]]:
    """One entry a kind of fault: name, count, reason, advice, examples with thumbnails."""
    groups: dict[str, list[Any]] = defaultdict(list)
    for fault in faults.itertuples():
        groups[fault.fault].append(fault)
    return [
        {
            "name": name,
            "count": len(group),
            "reason": group[0].reason,
            "advice": group[0].advice,
            "rows": [_example(fault, tables.images, root) for fault in group[:EXAMPLES]],
        }
        for name, group in sorted(groups.items(), key=lambda item: -len(item[1]))
    ]


def _example(fault: Any, images: pd.DataFrame, root: Path) -> dict[str, str]:
    files = (
        images.loc[images["image_id"] == fault.image_id, "file_name"]
        if isinstance(fault.image_id, str)
        else []
    )
    text = "missing" if pd.isna(fault.value) else str(fault.value)
    return {
        "row": "" if pd.isna(fault.row) else str(fault.row),
        "image_id": fault.image_id if isinstance(fault.image_id, str) else "",
        "value": text[:200].encode("unicode_escape").decode() if not text.isprintable() else text[:200],
        "thumbnail": _thumbnail(root / files.iloc[0])
        if len(files) and isinstance(files.iloc[0], str)
        else "",
    }


def _thumbnail(file: Path) -> str:
    """The picture as a data URI, or nothing where there is none to show."""
    try:
        image = load_rgb(file)
    except (Problem, ValueError):
        return ""
    image.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
