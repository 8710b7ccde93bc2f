"""Is a caption of a scene right in everything: kinds and numbers of drawings, where they stand, the ground?

A caption is entirely right if the grammar has it for the scene (`data.scenes.grammar.every_caption`):
if it states all facts of the scene, none wrong, in the words of one of the templates. The same in words of
another kind does not count, nor does 'a apple': a score is never too high.
"""

from collections.abc import Sequence
from difflib import SequenceMatcher

import numpy as np

from components.data.scenes.facts import MINIMAL_PAIRS, from_json
from components.data.scenes.grammar import every_caption
from components.data.tables import Tables, read_tables
from components.evaluation.scoring.metrics import FACTS
from components.evaluation.scoring.monitors import positions, words


class Scenes:
    """The scenes of some images, to judge captions by.

    Args:
        scenes: the column `scene` of the images.
    """

    def __init__(self, scenes: Sequence[str]):
        self._right = [every_caption(from_json(scene)) for scene in scenes]

    def entirely_right(self, captions: Sequence[str]) -> np.ndarray:
        """[n], bool, of the images' captions in their order; case and punctuation do not matter."""
        judged = zip(captions, self._right, strict=True)
        return np.array([" ".join(words(caption)) in right for caption, right in judged], dtype=bool)

    def wrong_words(self, captions: Sequence[str]) -> list[list[int]]:
        """For each caption the places, in `caption.split()`, of the words in which it differs from the right
        caption that is nearest to it.
        """
        return [_strange(caption, right) for caption, right in zip(captions, self._right, strict=True)]


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


def by_group(right: np.ndarray, groups: Sequence[str], names: Sequence[str]) -> np.ndarray:
    """Statistics of yes or no, over all and by group: [n x 2 (1 + len(names))], right and 1, then for each of
    `names` 1 if right and of that group, 1 if of that group.
    """
    member = np.array([[True, *(group == name for name in names)] for group in groups], dtype=np.float64)
    return np.stack([member * right[:, None], member], axis=-1).reshape(len(right), -1)


def _strange(caption: str, right: set[str]) -> list[int]:
    if " ".join(words(caption)) in right:
        return []
    places, said = positions(caption)
    matchers = (SequenceMatcher(None, said, other.split(), autojunk=False) for other in sorted(right))
    changes = max(matchers, key=SequenceMatcher.ratio).get_opcodes()
    return [places[i] for kind, start, end, *_ in changes if kind != "equal" for i in range(start, end)]
