"""The page of the data: what is in it, pictures, caption lengths, near twins, what is wrong, the card.

One file that carries its pictures and loads nothing, but for the near twins that the stage `features` puts
beside it later.
"""

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from markdown_it import MarkdownIt
from markupsafe import Markup

from components.data.display import data_uri
from components.data.pictures import Problem, load_rgb
from components.data.prepare.rules import number_of_words
from components.data.prepare.twins import TWIN_RULES, counterparts
from components.data.shards import Slice
from components.data.tables import SPLITS, Tables, of_images

EXAMPLES = 12  # of each kind of fault
SHOWN = 8  # pictures of a split
CAPTIONS = 3  # of a picture
THUMBNAIL, LARGER = 96, 192  # pixels
BARS = 40  # caption lengths, at most
TEMPLATE = Path(__file__).with_name("page.html.j2")


def render(summary: dict[str, Any], tables: Tables, clean: Tables, faults: pd.DataFrame, card: str) -> str:
    """The page as text.

    Args:
        summary: what validation.json says
        tables: the data as it came, with the columns `place` of images and frames (`prepare.ingest`)
        clean: what is left of it
        faults: what was found in `tables`, with the column `severity`
        card: the data card, Markdown; '' where there is no data set
    """
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        summary=summary,
        pictures=_pictures(clean, tables.frames),
        lengths=_lengths(number_of_words(clean.captions["caption"])),
        kinds=_kinds(faults, tables),
        examples=EXAMPLES,
        card=_html(card),
    )


def _pictures(clean: Tables, frames: pd.DataFrame) -> list[dict[str, Any]]:
    """A few pictures of each split, drawn at random, with their first captions."""
    images = clean.images[clean.images["sha256"].notna()]
    parts = [images[images["split"] == split] for split in SPLITS]
    some = pd.concat([part.sample(min(SHOWN, len(part)), random_state=0).sort_index() for part in parts])
    captions = of_images(clean.captions, some).groupby("image_id", sort=False)["caption"].agg(list)
    return [
        {
            "split": image["split"],
            "name": image["file_name"],
            "uri": _thumbnail(image, frames, LARGER),
            "captions": captions.get(image["image_id"], [])[:CAPTIONS],
        }
        for _, image in some.iterrows()
    ]


def _lengths(words: pd.Series) -> list[dict[str, Any]]:
    """A bar for each number of words, or for so many numbers that there are at most `BARS` of them."""
    if words.empty:
        return []
    step = -(-int(words.max()) // BARS) or 1
    counts = np.bincount((words.to_numpy() - 1).clip(0) // step)
    names = [
        f"{i * step + 1}" if step == 1 else f"{i * step + 1}–{(i + 1) * step}" for i in range(len(counts))
    ]
    return [
        {"words": name, "captions": int(count), "height": round(100 * count / counts.max(), 1)}
        for name, count in zip(names, counts, strict=True)
    ]


def _html(card: str) -> Markup:
    """The card, its headings a level below those of the page; HTML in it is text."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    return Markup(markdown.render(re.sub("^#", "##", card, flags=re.MULTILINE)))


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
            "pictures": "pair" if name in TWIN_RULES else "one",
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


def _thumbnail(image: pd.Series | None, frames: pd.DataFrame, longest: int = THUMBNAIL) -> str:
    """The picture as a data URI, or nothing where there is none to show."""
    if image is None or pd.isna(image["sha256"]):
        return ""
    shown = frames[frames["place"] == image["place"]]
    frame = shown.iloc[len(shown) // 2]
    try:
        picture = load_rgb(Slice(Path(frame["file"]), int(frame["offset"]), int(frame["size"])))
    except Problem:
        return ""
    return data_uri(picture, longest)
