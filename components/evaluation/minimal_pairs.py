"""Do captions of minimal pairs (`data.scenes.minimal_pairs`) differ in just the fact that they should?"""

from collections.abc import Sequence

import numpy as np

from components.data.scenes.facts import MINIMAL_PAIRS
from components.data.tables import Tables, read_tables
from components.evaluation.scenes import Scenes, by_group
from components.evaluation.scoring.metrics import FACTS


def read_pairs(tables: Tables) -> Tables | None:
    """The minimal pairs that belong to a data set; None if it has none."""
    folder = tables.folder / MINIMAL_PAIRS
    return read_tables(folder) if folder.exists() else None


def pair_statistics(pairs: Tables, captions: Sequence[str]) -> np.ndarray:
    """[pairs x 10], the family "minimal_pairs" of `metrics`.

    A pair is right if both of its captions are entirely right: then they differ in its fact and in no other.

    Args:
        captions: of all images of `pairs`, in their order.
    """
    right = Scenes(list(pairs.images["scene"])).entirely_right(captions)
    both = pairs.images.assign(right=right).groupby("pair", sort=False).agg({"right": "all", "fact": "first"})
    return by_group(both["right"].to_numpy(), list(both["fact"]), FACTS)
