"""Splits made by hash: stable when data is added, and whole groups at a time."""

import hashlib

import pandas as pd

from components.data.tables import SPLITS
from components.errors import UserError

MODES = ("auto", "given", "hash")


def assign_splits(images: pd.DataFrame, *, mode: str, val: float, test: float, seed: int) -> pd.Series:
    """The split of every image.

    `given` takes the source's, `hash` makes them, `auto` makes them only if the source has none at all. A
    group (the column `group`; else the picture's content) goes to one split, decided by its hash with
    `seed` alone: adding images moves no other image. Pictures of equal content go with the first of them.

    Args:
        images: image_id, sha256, split, perhaps group
        val, test: shares of the groups

    Raises:
        UserError: unknown mode, or shares that leave nothing to train on.
    """
    if mode not in MODES:
        raise UserError(f"data.splits is {mode!r}. Known: {', '.join(MODES)}.")
    if val + test >= 1:
        raise UserError(f"data.val_share {val} and data.test_share {test} leave nothing to train on.")
    if mode == "given" or (mode == "auto" and images["split"].notna().any()):
        return images["split"]
    return _groups(images).map(lambda group: _split(group, val, test, seed)).astype("str")


def _groups(images: pd.DataFrame) -> pd.Series:
    content = images["sha256"].fillna(images["image_id"]).fillna("")
    if "group" not in images:
        return content
    group = images["group"].astype("str").fillna(content)
    return group.groupby(content).transform("first")


def _split(group: str, val: float, test: float, seed: int) -> str:
    """A number in [0, 1) from the hash, cut into test, val and train."""
    digest = hashlib.sha256(f"{seed}:{group}".encode()).digest()
    position = int.from_bytes(digest[:8]) / 2**64
    train_name, val_name, test_name = SPLITS
    return test_name if position < test else val_name if position < test + val else train_name
