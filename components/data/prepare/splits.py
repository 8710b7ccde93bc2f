"""Splits made by hash: stable when data is added, and whole groups at a time."""

import hashlib

import numpy as np
import pandas as pd

from components.config import DataParams
from components.data.prepare.twins import connected
from components.data.tables import SPLITS
from components.errors import UserError

MANY = 10  # twins, at least, before they are too many


def assign_splits(images: pd.DataFrame, data: DataParams) -> pd.Series:
    """The split of every image, of the columns image_id, sha256, split and perhaps group, twins.

    Where `data.splits` is `given`, the source's; `hash` makes them; `auto`, if the source has none at all, or
    train only. `complete` keeps the source's and makes what is missing: val of a share of train, test of half
    of val.
    A group (the column `group`; else the picture's content) goes to one split, decided by its hash with the
    seed alone: adding images moves no other image. Pictures of equal content, and near twins, go with the
    first of them, and so do their groups.

    Raises:
        UserError: `complete`, and there is no train split.
    """
    train, val, test = SPLITS
    given = images["split"]
    present = set(given.dropna())
    if data.splits == "given" or (data.splits == "auto" and present - {train}):
        return given
    positions = _groups(images).map(lambda group: _position(group, data.seed))
    if data.splits != "complete":
        return positions.map(lambda position: _split(position, data)).astype("str")
    if train not in present:
        names = ", ".join(sorted(present)) or "no split"
        raise UserError(f"data.splits is complete, but the data have no train (only {names}): take hash.")
    if val not in present:
        share = data.val_share if test in present else 2 * data.val_share
        given = given.mask((given == train) & (positions < share), val)
    if test not in present:
        within = positions if val in present else positions / share
        given = given.mask((given == val) & (within < 0.5), test)
    return given.astype("str")


def _groups(images: pd.DataFrame) -> pd.Series:
    """The name of each image's group: that of the first image that it is connected with."""
    content = images["sha256"].fillna(images["image_id"]).fillna("")
    name = images["group"].astype("str").fillna(content) if "group" in images else content
    keys = [content, name, _few_twins(images)] if "twins" in images else [content, name]
    first = connected(len(images), map(_with_first, keys))
    return pd.Series(name.to_numpy()[first], images.index)


def _few_twins(images: pd.DataFrame) -> pd.Series:
    """The column `twins`, without groups of more than a tenth of the data: frames of a camera that stands
    still are all alike, and would be one split.
    """
    size = images["twins"].map(images["twins"].value_counts())
    return images["twins"].where(size <= max(MANY, len(images) / 10))


def _with_first(keys: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of rows: each that has a key, and the first of its key."""
    codes, distinct = pd.factorize(keys)
    rows = np.flatnonzero(codes >= 0)
    first = np.full(len(distinct), len(keys))
    np.minimum.at(first, codes[rows], rows)
    return rows, first[codes[rows]]


def _position(group: str, seed: int) -> float:
    """A number in [0, 1) from the hash."""
    digest = hashlib.sha256(f"{seed}:{group}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def _split(position: float, data: DataParams) -> str:
    """[0, 1) cut into test, val and train."""
    train, val, test = SPLITS
    if position < data.test_share:
        return test
    return val if position < data.test_share + data.val_share else train
