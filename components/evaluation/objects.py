"""Do captions name what is there? CHAIR and recall of objects (Rohrbach et al., 2018).

Only objects of the data set's own vocabulary count: the names and synonyms in the column `objects`, singular
and plural, the longest match first, so that a 'hot dog' is no dog. As in the paper, an object is there if the
column says so or a reference names it: annotations miss things.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from components.data.synonyms import IDIOMS, forms
from components.data.tables import Tables
from components.evaluation.scoring.monitors import positions, words

Synonyms = Sequence[str]
"""The names of one object, the first of which stands for it."""


@dataclass(frozen=True)
class Mention:
    """An object named in a caption.

    Attributes:
        names: whom the words may mean: 'heart' a red heart or a blue heart.
        start, end: of its words in `caption.split()`.
    """

    names: frozenset[str]
    start: int
    end: int


class Vocabulary:
    """All objects of a data set, and the words for them."""

    def __init__(self, objects: Iterable[Synonyms]):
        means: dict[tuple[str, ...], set[str]] = {tuple(form.split()): set() for form in _all_forms(IDIOMS)}
        for synonyms in set(map(tuple, objects)):
            for form in _all_forms(synonyms):
                means.setdefault(tuple(words(form)), set()).add(synonyms[0])
        self._means = {phrase: frozenset(names) for phrase, names in means.items()}
        self._longest = max(map(len, self._means))

    def mentions(self, caption: str) -> list[Mention]:
        """The objects that `caption` names, in its order; where several phrases begin, the longest counts."""
        places, said = positions(caption)
        found, start = [], 0
        while start < len(said):
            following = tuple(said[start : start + self._longest])
            length = next((n for n in range(len(following), 1, -1) if following[:n] in self._means), 1)
            names = self._means.get(following[:length])
            if names:
                found.append(Mention(names, places[start], places[start + length - 1] + 1))
            start += length
        return found


def _all_forms(names: Iterable[str]) -> list[str]:
    return [form for name in names for form in forms(name.lower())]


class Objects:
    """What there is in the images of a split, to judge captions by.

    Args:
        tables: the whole data set, whose images have the column `objects`: its vocabulary counts.
        test: the images to judge.
    """

    def __init__(self, tables: Tables, test: Tables):
        known = tables.images["objects"].dropna()
        self.vocabulary = Vocabulary(synonyms for several in known for synonyms in several)
        # for each image the names of its objects; None where nobody knows
        self._there = [
            None if objects is None else frozenset(names[0] for names in objects) | self._said(references)
            for objects, references in zip(test.images["objects"], test.references().values(), strict=True)
        ]

    def _said(self, references: Iterable[str]) -> frozenset[str]:
        """What references name and cannot mean otherwise."""
        mentions = (mention for caption in references for mention in self.vocabulary.mentions(caption))
        return frozenset().union(*(mention.names for mention in mentions if len(mention.names) == 1))

    def invented(self, captions: Sequence[str]) -> list[list[Mention]]:
        """For each image's caption the objects named that are not there."""
        return [
            [] if there is None else [m for m in self.vocabulary.mentions(caption) if not m.names & there]
            for caption, there in zip(captions, self._there, strict=True)
        ]

    def exact(self, captions: Sequence[str]) -> np.ndarray:
        """Does each caption name all that is there, and nothing else? [n], bool."""
        judged = zip(captions, self._there, strict=True)
        return np.array([self._named(caption, there) == there for caption, there in judged], dtype=bool)

    def statistics(self, captions: Sequence[str]) -> np.ndarray:
        """[n x 6], the family "objects": of each caption the objects named that are not there, all that it
        names, 1 if any is not there, 1 if it is known what is there, objects there and named, objects there.
        """
        rows = []
        for caption, there, wrong in zip(captions, self._there, self.invented(captions), strict=True):
            if there is None:
                rows.append([0] * 6)
                continue
            named = self.vocabulary.mentions(caption)
            recalled = there & self._named(caption, there)
            rows.append([len(wrong), len(named), bool(wrong), 1, len(recalled), len(there)])
        return np.array(rows, dtype=np.float64)

    def _named(self, caption: str, there: frozenset[str] | None) -> frozenset[str]:
        """The names that the caption means, in its favour where words are ambiguous."""
        mentions = self.vocabulary.mentions(caption)
        return frozenset().union(*(m.names & (there or frozenset()) or m.names for m in mentions))
