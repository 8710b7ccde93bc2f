"""Near twins as the tower sees them: pictures whose embeddings are nearly the same, whatever their pixels.

A cut, a mirror image, another photograph of the same moment: what the perceptual hash of `prepare` misses.

near_twins.json     counts, for MLflow
near_twins.parquet  the pairs above `SIMILAR`, most similar first
near_twins.png      the most similar pairs, above it or not, to look at
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

from components.data.display import caption_sheet
from components.data.tables import SPLITS, Tables
from components.errors import UserError
from components.features.store import Features
from components.files import atomic_path

SIMILAR = 0.98
"""Cosine. The embedded tower gives 0.99 to scenes that differ by a shade; of others, the page shows."""

COMPARED = 10_000  # pictures of train, and of val and test together, at most; else a random choice
BLOCK = 1024  # pictures that these are compared with at a time
SHOWN = 24  # pairs on the page
COLUMNS = ["image_id", "split", "twin", "twin_split", "similarity"]


def find_near_twins(features: Features, images: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Of each picture that is compared, the most similar one before it: in an earlier split (train, val,
    test), or, for one of train, above it in the table. Time grows with the number of images, memory does not.

    Returns:
        `COLUMNS`, a row a picture, most similar first.
    """
    rank = images["split"].map({split: rank for rank, split in enumerate(SPLITS)}).to_numpy()
    places, ids = np.arange(len(images)), images["image_id"].tolist()
    order = np.where(rank == 0, places, len(images) * rank)  # of val and test all have the same
    chosen = np.concatenate([_sample(places[part], seed) for part in (rank == 0, rank > 0)])
    queries = features.image_embeds([ids[place] for place in chosen])
    best, twin = torch.full((len(chosen),), -1.0), torch.zeros(len(chosen), dtype=torch.int64)
    for start in range(0, len(images), BLOCK):
        block = slice(start, start + BLOCK)
        similarity = queries @ features.image_embeds(ids[block]).T
        before = torch.from_numpy(order[block] < order[chosen, None])
        top, where = similarity.masked_fill_(~before, -1.0).max(dim=1)
        twin = torch.where(top > best, where + start, twin)
        best = torch.maximum(top, best)
    pairs = images[["image_id", "split"]].iloc[chosen].reset_index(drop=True)
    others = images[["image_id", "split"]].iloc[twin.numpy()]
    pairs = pairs.assign(
        twin=others["image_id"].to_numpy(), twin_split=others["split"].to_numpy(), similarity=best.numpy()
    )
    pairs = pairs[pairs["similarity"] > -1]  # the first of train has nothing before it
    return pairs.sort_values("similarity", ascending=False, kind="stable", ignore_index=True)


def _sample(places: np.ndarray, seed: int) -> np.ndarray:
    if len(places) <= COMPARED:
        return places
    return np.sort(np.random.default_rng(seed).choice(places, COMPARED, replace=False))


def report_near_twins(
    pairs: pd.DataFrame, tables: Tables, folder: str | Path, severity: str | None = "report"
) -> dict[str, Any]:
    """Write the three files into `folder` and return what near_twins.json says.

    Args:
        pairs: what `find_near_twins` found; none where no features are kept.
        severity: `fail`: a pair in two splits is an error.

    Raises:
        UserError: as `severity` says, once all is written; names the most similar pair.
    """
    folder = Path(folder)
    near = pairs[pairs["similarity"] >= SIMILAR]
    leaks, train = near[near["split"] != SPLITS[0]], pairs["split"] == SPLITS[0]
    summary = {
        "similar": SIMILAR,
        "compared": {"train": int(train.sum()), "val_and_test": int((~train).sum())},
        "near_twins": {"in_two_splits": len(leaks), "in_train": len(near) - len(leaks)},
    }
    with atomic_path(folder / "near_twins.json") as path:
        path.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    with atomic_path(folder / "near_twins.parquet") as path:
        near.to_parquet(path, index=False)
    with atomic_path(folder / "near_twins.png") as path:
        _sheet(pairs.head(SHOWN), tables).save(path, format="PNG")
    if severity == "fail" and not leaks.empty:
        raise UserError(
            f"{len(leaks)} pictures are near twins of one in an earlier split, by their embeddings: "
            f"{_named(leaks.iloc[0])}. Look at {folder / 'near_twins.png'}; take them out of one split, or "
            "set data.severity: {leak-by-embedding: report}."
        )
    return summary


def _sheet(pairs: pd.DataFrame, tables: Tables) -> Image.Image:
    """Each pair side by side in one cell."""
    rows = [row for _, row in pairs.iterrows()]
    clips = [[tables.open_image(row["image_id"]), tables.open_image(row["twin"])] for row in rows]
    return caption_sheet(clips, [_named(row) for row in rows], lines=3)


def _named(pair: pd.Series) -> str:
    return (
        f"{pair['similarity']:.3f}: {pair['image_id']} in {pair['split']}, "
        f"{pair['twin']} in {pair['twin_split']}"
    )
