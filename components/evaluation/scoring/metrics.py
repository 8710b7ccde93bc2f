"""What the scores are as numbers: every metric is a function of statistics that are summed over images.

A caption's statistic is a row of numbers (for BLEU, matched n-grams and lengths), a corpus' is the sum of
its rows, and one formula turns either into a score. Hence the same few lines give the score of an image,
that of the corpus, and those of thousands of resampled corpora (`bootstrap`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from components.evaluation.scoring.java import METEOR_FIELDS

BLEU_ORDER = 4
SCENE_KINDS = ("counts", "pairs", "groups")
FACTS = ("thing", "number", "side", "colour")
"""What scenes of a minimal pair may differ in."""


def mean(sums: np.ndarray, count: int) -> np.ndarray:
    """Mean over images of a per-image score. Sums [... x 1] -> [...]."""
    return sums[..., 0] / count


def bleu(sums: np.ndarray, count: int, order: int = BLEU_ORDER) -> np.ndarray:
    """BLEU with the closest reference's length, as pycocoevalcap's `BleuScorer` computes it (its two tiny
    numbers too).

    Args:
        sums: [... x 10]: length, reference length, n-grams for n = 1..4, matched n-grams for n = 1..4.
        order: 1 to 4, the longest n-gram that counts.
    """
    length, reference_length = sums[..., 0], sums[..., 1]
    guessed, correct = sums[..., 2 : 2 + order], sums[..., 2 + BLEU_ORDER : 2 + BLEU_ORDER + order]
    tiny, small = 1e-15, 1e-9
    precision = np.prod((correct + tiny) / (guessed + small), axis=-1) ** (1.0 / order)
    ratio = (length + tiny) / (reference_length + small)
    return precision * np.exp(np.minimum(0.0, 1.0 - 1.0 / ratio))


def meteor(sums: np.ndarray, count: int) -> np.ndarray:
    """METEOR 1.5 for English from summed statistics [... x 23] (Denkowski and Lavie, 2014).

    A caption that is its reference word for word must have chunks = 0, as `meteor_statistics` gives it.
    """
    alpha, beta, gamma, delta = 0.85, 0.2, 0.6, 0.75
    module_weights = np.array([1.0, 0.6, 0.8, 0.6])  # exact, stem, synonym, paraphrase
    length, reference_length, function_words, reference_function_words = np.moveaxis(sums[..., :4], -1, 0)
    modules = sums[..., 4:20].reshape(*sums.shape[:-1], 4, 4)  # [module x count], counts as below
    chunks, matched, reference_matched = np.moveaxis(sums[..., 20:], -1, 0)

    content, reference_content, function, reference_function = np.moveaxis(modules, -1, 0) @ module_weights
    with np.errstate(divide="ignore", invalid="ignore"):  # nothing matched: not a number, which scores 0
        precision = (delta * content + (1 - delta) * function) / (
            delta * (length - function_words) + (1 - delta) * function_words
        )
        recall = (delta * reference_content + (1 - delta) * reference_function) / (
            delta * (reference_length - reference_function_words) + (1 - delta) * reference_function_words
        )
        harmonic = 1.0 / ((1 - alpha) / precision + alpha / recall)
        fragmentation = chunks / ((matched + reference_matched) / 2)
    score = harmonic * (1 - gamma * fragmentation**beta)
    return np.where(np.isnan(score), 0.0, np.maximum(score, 0.0))


def perplexity(sums: np.ndarray, count: int) -> np.ndarray:
    """exp of the mean negative log-likelihood of a token. Sums [... x 2]: negative log-likelihood, tokens."""
    return np.exp(sums[..., 0] / sums[..., 1])


def share(sums: np.ndarray, count: int, part: int, whole: int) -> np.ndarray:
    """Sum number `part` over sum number `whole`; 0 where there is nothing to have a share of."""
    nothing = np.zeros(sums.shape[:-1])
    return np.divide(sums[..., part], sums[..., whole], out=nothing, where=sums[..., whole] > 0)


@dataclass(frozen=True)
class Metric:
    """A score: its name, which statistics it reads, and the formula (sums [... x width], number of rows)
    -> [...]. Metrics of one family (BLEU-1..4) share their statistics, a row an image (or a pair of them).
    """

    name: str
    family: str
    width: int
    formula: Callable[[np.ndarray, int], np.ndarray]
    higher_is_better: bool = True
    of: str = "images"

    @property
    def label(self) -> str:
        """The name as people read it."""
        return self.name.replace("_", " ")

    def corpus(self, statistics: np.ndarray) -> float:
        """The score of a corpus from its images' statistics [n x width]."""
        return float(self.formula(statistics.sum(axis=0), len(statistics)))

    def per_image(self, statistics: np.ndarray) -> np.ndarray:
        """The score of each image alone: [n x width] -> [n]."""
        return self.formula(statistics, 1)


def _by_group(name: str, family: str, groups: tuple[str, ...], of: str = "images") -> list[Metric]:
    """Share of what is right, over all and by group, from the statistics that `scenes.by_group` makes."""
    names, width = [name, *(f"{name}_{group}" for group in groups)], 2 * (1 + len(groups))
    formulas = [partial(share, part=2 * i, whole=2 * i + 1) for i in range(len(names))]
    return [Metric(n, family, width, f, of=of) for n, f in zip(names, formulas, strict=True)]


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("CIDEr", "cider", 1, mean),
        Metric("BLEU-1", "bleu", 10, partial(bleu, order=1)),
        Metric("BLEU-2", "bleu", 10, partial(bleu, order=2)),
        Metric("BLEU-3", "bleu", 10, partial(bleu, order=3)),
        Metric("BLEU-4", "bleu", 10, partial(bleu, order=4)),
        Metric("METEOR", "meteor", METEOR_FIELDS, meteor),
        Metric("ROUGE-L", "rouge", 1, mean),
        Metric("CLIPScore", "clip", 1, mean),
        Metric("perplexity", "likelihood", 2, perplexity, higher_is_better=False),
        *_by_group("entirely_right", "scene", SCENE_KINDS),
        Metric("drawings_right", "drawings", 1, mean),
        Metric("CHAIRi", "objects", 6, partial(share, part=0, whole=1), higher_is_better=False),
        Metric("CHAIRs", "objects", 6, partial(share, part=2, whole=3), higher_is_better=False),
        Metric("object_recall", "objects", 6, partial(share, part=4, whole=5)),
        *_by_group("minimal_pairs", "minimal_pairs", FACTS, of="pairs"),
    )
}
"""All metrics in the order in which tables show them: likeness to the references, then truth."""

TRUTH = [
    name
    for name, metric in METRICS.items()
    if metric.family in ("scene", "drawings", "objects", "minimal_pairs")
]
"""Metrics that ask whether a caption is true; CHAIRi and CHAIRs as Rohrbach et al. (2018) call them."""
