"""Near twins: pictures whose perceptual hashes (`components.data.looks`) differ in few bits.

A picture that was saved anew, scaled, made a little brighter or cut by one per cent keeps most of its bits;
two scenes of the embedded data set differ in 36 of 256 at least, two photographs in about 100.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from components.data.looks import HASH_SIZE
from components.data.prepare.rules import EMPTY
from components.data.tables import SPLITS

BANDS = 12
RADIUS = 2 * BANDS - 1
"""Bits that may differ: in one band of twelve it is then one at most (Norouzi et al. 2012)."""

BITS = HASH_SIZE**2
LEAK, REPEATED = TWIN_RULES = ("leak-by-near-twin", "near-twin-in-train")

CHUNK = 2**21  # pairs compared at a time
SHOWN = 20  # twins in one split that are looked at to find the nearest


def twin_groups(images: pd.DataFrame) -> pd.Series:
    """What near twins have in common: the hash of the first of them; missing for pictures without a twin.

    A twin's twin is in the group too. Pictures that are almost empty have none: their hash is noise.

    Args:
        images: with the columns phash and contrast.
    """
    hashes = images.loc[images["phash"].notna() & ~(images["contrast"] < EMPTY), "phash"]
    codes, distinct = pd.factorize(hashes)  # so that many copies of one picture are one hash
    count = len(distinct)
    first = connected(count, near_pairs(unpacked(distinct))) if count else codes
    names = pd.Series(np.asarray(distinct, dtype=object)[first[codes]], hashes.index, dtype="str")
    return names.where(names.duplicated(keep=False)).reindex(images.index)


def unpacked(hashes: Iterable[str]) -> np.ndarray:
    """Hexadecimal digits -> bytes [n x 32]."""
    return np.frombuffer(bytes.fromhex("".join(hashes)), dtype=np.uint8).reshape(-1, 32)


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Bits that differ between rows of bytes [n x ...] -> [n]."""
    return np.bitwise_count(a ^ b).sum(axis=1)


def near_pairs(codes: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All pairs of rows of `codes` [n x 32] within `RADIUS`, in pieces; some of them more than once.

    Two such rows agree in one of the bands but for one bit. So rows are sorted by each band, and compared
    with those of the same band, and of one where a single bit is set besides: for a million random hashes
    this looks at 120 million pairs instead of 500,000 million.
    """
    bits = np.unpackbits(codes, axis=1)
    for band in range(BANDS):
        part = bits[:, band::BANDS][:, : len(codes).bit_length()]  # not neighbours, which are often alike
        width = part.shape[1]
        keys = part @ (1 << np.arange(width))
        order = np.argsort(keys, kind="stable")
        keys, rows = keys[order], codes[order].view(np.uint64)
        start = np.concatenate([[0], np.bincount(keys, minlength=2**width).cumsum()])
        for bit in (0, *(1 << np.arange(width))):
            place = np.flatnonzero(keys & bit == 0)
            other = keys[place] | bit
            after = start[other] if bit else place + 1
            for a, b in _expand(place, after, start[other + 1], rows):
                yield order[a], order[b]


def _expand(
    place: np.ndarray, start: np.ndarray, stop: np.ndarray, rows: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Of the pairs (place[i], each of start[i] to stop[i]) those whose rows [n x 4] are near."""
    some = stop > start
    place, start, length = place[some], start[some], (stop - start)[some]
    ends = length.cumsum()
    done = 0
    while done < len(place):
        before = ends[done - 1] if done else 0
        upto = max(done + 1, int(np.searchsorted(ends, before + CHUNK)))
        many = length[done:upto]
        a = np.repeat(place[done:upto], many)
        b = np.repeat(start[done:upto] - ends[done:upto] + many + before, many) + np.arange(many.sum())
        for words in (rows[:, :1], rows):  # a quarter of the bits tells most of them apart
            near = distances(words[a], words[b]) <= RADIUS
            a, b = a[near], b[near]
        yield a, b
        done = upto


def connected(count: int, pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Of each of `count` things the first that it is connected with by `pairs`, itself if by none [count]."""
    first = np.arange(count)
    new: list[tuple[np.ndarray, np.ndarray]] = []
    for a, b in pairs:
        apart = first[a] != first[b]
        new.append((a[apart], b[apart]))
        if sum(len(a) for a, _ in new) > CHUNK:
            first, new = _joined(first, new), []
    return _joined(first, new)


def _joined(first: np.ndarray, pairs: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    a = np.concatenate([np.arange(len(first)), *(a for a, _ in pairs)])
    b = np.concatenate([first, *(b for _, b in pairs)])
    graph = coo_array((np.ones(len(a), dtype=bool), (a, b)), shape=(len(first), len(first)))
    _, labels = connected_components(graph, directed=False)
    return np.unique(labels, return_index=True)[1][labels]


def counterparts(images: pd.DataFrame, faults: pd.DataFrame) -> pd.DataFrame:
    """Which twins the faults of `TWIN_RULES` are about: columns twin (a label of `images`) and distance, by
    the labels of `faults`.

    Of a leak it is the nearest in a later split; of a repetition the first in train.
    """
    parts = [pd.DataFrame({"twin": [], "distance": []})]
    for rule in TWIN_RULES:
        some = faults.loc[faults["fault"] == rule, "index"]
        if not some.empty:
            best = _counterparts(images, list(some), in_train=rule == REPEATED)
            parts.append(best.reindex(some).set_axis(some.index))
    return pd.concat(parts[1:] or parts)


def _counterparts(images: pd.DataFrame, labels: list[int], in_train: bool) -> pd.DataFrame:
    rank = images["split"].map({split: rank for rank, split in enumerate(SPLITS)})
    table = images[["phash", "twins"]].assign(rank=rank, label=images.index)
    some = table[table["twins"].isin(table.loc[labels, "twins"])]
    some = some.groupby(["twins", "rank"]).head(SHOWN)
    pairs = table.loc[labels].merge(some, on="twins", suffixes=("", "_other"))
    fits = pairs["rank_other"].eq(0) if in_train else pairs["rank_other"] > pairs["rank"]
    pairs = pairs[fits & (pairs["label"] != pairs["label_other"])]
    pairs = pairs.assign(distance=distances(unpacked(pairs["phash"]), unpacked(pairs["phash_other"])))
    best = pairs if in_train else pairs.sort_values("distance", kind="stable")
    best = best.drop_duplicates("label").set_index("label")
    return best[["label_other", "distance"]].rename(columns={"label_other": "twin"})
