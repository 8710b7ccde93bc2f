"""Splits made by hash: stable when data is added, and whole groups at a time."""

import hashlib

import pandas as pd

from components.config import DataParams
from components.data.tables import SPLITS


def assign_splits(images: pd.DataFrame, data: DataParams) -> pd.Series:
    """The split of every image, of the columns image_id, sha256, split and perhaps group.

    Where `data.splits` is `given`, the source's; `hash` makes them; `auto`, if the source has none at all.
    A group (the column `group`; else the picture's content) goes to one split, decided by its hash with the
    seed alone: adding images moves no other image. Pictures of equal content go with the first of them.
    """
    if data.splits == "given" or (data.splits == "auto" and images["split"].notna().any()):
        return images["split"]
    return _groups(images).map(lambda group: _split(group, data)).astype("str")


def _groups(images: pd.DataFrame) -> pd.Series:
    content = images["sha256"].fillna(images["image_id"]).fillna("")
    if "group" not in images:
        return content
    group = images["group"].astype("str").fillna(content)
    return group.groupby(content).transform("first")


def _split(group: str, data: DataParams) -> str:
    """A number in [0, 1) from the hash, cut into test, val and train."""
    digest = hashlib.sha256(f"{data.seed}:{group}".encode()).digest()
    position = int.from_bytes(digest[:8]) / 2**64
    train_name, val_name, test_name = SPLITS
    if position < data.test_share:
        return test_name
    return val_name if position < data.test_share + data.val_share else train_name
