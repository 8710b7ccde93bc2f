"""Intervals and comparisons by the bootstrap over images (Efron, 1979; for such scores: Koehn, 2004).

A test split is a sample of the pictures that could have been in it. Drawing as many images from it with
replacement, again and again, shows how far a score would move with another sample. Statistics are resampled,
not scores, so corpus scores (BLEU, METEOR) get the interval of the corpus score. CIDEr keeps the idf of the
full split: resampling it as well would measure the vocabulary of the draw.

The interval says nothing about another training seed.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from components.errors import UserError
from components.evaluation.scoring.metrics import mean

LEVEL = 0.95
_CHUNK = 1 << 21  # image draws held at once: 16 MB

Formula = Callable[[np.ndarray, int], np.ndarray]
"""(sums [... x k], number of images) -> scores [...], as `metrics.Metric.formula`."""


class Interval(NamedTuple):
    """A score of the split with the bounds of its interval."""

    mean: float
    low: float
    high: float

    def text(self, digits: int, of_bounds: int | None = None) -> tuple[str, str]:
        """As people read it: "0.712" and "0.690–0.734", or "-8.7 to -5.2", with so many decimals."""
        bounds, to = digits if of_bounds is None else of_bounds, " to " if self.low < 0 else "–"
        return f"{self.mean:.{digits}f}", f"{self.low:.{bounds}f}{to}{self.high:.{bounds}f}"

    def per_cent(self) -> tuple[str, str]:
        """Of a share, in whole per cent; 0 and 100 are only what is nothing or all: "99.9" and "99.6–100"."""
        mean, low, high = map(_per_cent, self)
        return mean, f"{low}–{high}"


class Difference(NamedTuple):
    """Score a minus score b on the same images, its interval, and the two-sided p of no difference."""

    a: float
    b: float
    difference: float
    low: float
    high: float
    p: float

    def text(self) -> tuple[str, str]:
        """As people read it: "+0.012" and its interval, "+0.001 to +0.022"."""
        return f"{self.difference:+.3f}", f"{self.low:+.3f} to {self.high:+.3f}"

    @property
    def real(self) -> bool:
        """Does the interval exclude zero?"""
        return self.low > 0 or self.high < 0


def _per_cent(share: float) -> str:
    digits = next((n for n in range(4) if share in (0, 1) or round(100 * share, n) not in (0, 100)), 4)
    return f"{100 * share:.{digits}f}"


def resampled_sums(statistics: np.ndarray, samples: int = 2000, seed: int = 0) -> np.ndarray:
    """The summed statistics of `samples` corpora, each of n images drawn with replacement.

    The draws depend on n, `samples` and `seed` only, so two calls (or two blocks of columns) are paired.

    Args:
        statistics: [n x k], a row an image.

    Returns:
        [samples x k]
    """
    count, generator = len(statistics), np.random.default_rng(seed)
    if count == 0:
        raise UserError("No image to resample: the split is empty.")
    sums, rows = [], max(1, _CHUNK // count)
    for start in range(0, samples, rows):
        size = min(rows, samples - start)
        draws = generator.integers(count, size=(size, count))
        draws += np.arange(size)[:, None] * count  # one bincount for all corpora of the chunk
        weights = np.bincount(draws.ravel(), minlength=size * count).reshape(size, count)
        sums.append(weights.astype(np.float64) @ statistics)
    return np.concatenate(sums)


def interval(statistics: np.ndarray, formula: Formula = mean, samples: int = 2000, seed: int = 0) -> Interval:
    """The score of the split and its percentile interval, 95 % of the resampled scores.

    Args:
        statistics: [n x k], or [n] for a plain mean of per-image scores.
        formula: makes scores of sums; `METRICS[name].formula`.
    """
    statistics = _columns(statistics)
    resampled = formula(resampled_sums(statistics, samples, seed), len(statistics))
    score = float(formula(statistics.sum(axis=0), len(statistics)))
    return Interval(score, *_bounds(resampled))


def paired_bootstrap(
    a: np.ndarray, b: np.ndarray, formula: Formula = mean, samples: int = 2000, seed: int = 0
) -> Difference:
    """Compare two systems on the same images: is a's score different from b's?

    Both are resampled with the same draws, so that what is hard for both cancels out. p is twice the share
    of draws in which the difference has the other sign (or is zero), counting the observed corpus as one
    draw: never 0.

    Args:
        a, b: statistics [n x k] or per-image scores [n], rows of the same images in the same order.

    Raises:
        UserError: different numbers of images.
    """
    a, b = _columns(a), _columns(b)
    if a.shape != b.shape:
        raise UserError(
            f"Cannot pair {len(a)} images with {len(b)}: both must have captioned the same split."
        )
    count, width = a.shape
    sums = resampled_sums(np.concatenate([a, b], axis=1), samples, seed)
    differences = formula(sums[:, :width], count) - formula(sums[:, width:], count)
    of_a, of_b = (float(formula(values.sum(axis=0), count)) for values in (a, b))
    other_side = min((differences <= 0).sum(), (differences >= 0).sum())
    p = min(1.0, 2 * (1 + int(other_side)) / (samples + 1))
    low, high = _bounds(differences)
    return Difference(of_a, of_b, of_a - of_b, low, high, p)


def _columns(statistics: np.ndarray) -> np.ndarray:
    """[n] or [n x k] -> [n x k], float64."""
    statistics = np.asarray(statistics, dtype=np.float64)
    return statistics[:, None] if statistics.ndim == 1 else statistics


def _bounds(resampled: np.ndarray) -> tuple[float, float]:
    """The central 95 % of the resampled scores."""
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
