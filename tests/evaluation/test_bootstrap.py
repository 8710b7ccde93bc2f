"""Intervals cover what they should, pairs are paired, and corpus scores are resampled as corpus scores."""

import numpy as np
import pytest

from components.errors import UserError
from components.evaluation.bootstrap import Interval, interval, paired_bootstrap, resampled_sums
from components.evaluation.scoring.metrics import METRICS


def test_interval_of_a_mean_is_that_of_theory():
    scores = np.random.default_rng(0).normal(3.0, 2.0, size=900)
    result = interval(scores, samples=4000)
    error = 1.96 * scores.std() / np.sqrt(len(scores))
    assert result.mean == pytest.approx(scores.mean(), abs=1e-12)
    assert result.low == pytest.approx(scores.mean() - error, abs=0.05 * error)
    assert result.high == pytest.approx(scores.mean() + error, abs=0.05 * error)


def test_intervals_cover_the_truth_in_19_of_20_samples():
    draw = np.random.default_rng(1)
    results = [interval(draw.exponential(size=120), samples=500, seed=i) for i in range(200)]
    covered = np.mean([result.low <= 1.0 <= result.high for result in results])
    assert 0.89 <= covered <= 0.98  # 0.95, less a little for the skew, within three standard errors


def test_a_share_is_told_as_all_or_nothing_only_where_it_is():
    assert Interval(0.999, 0.996, 1.0).per_cent() == ("99.9", "99.6–100")
    assert Interval(0.991, 0.98, 0.9999).per_cent() == ("99", "98–99.99")
    assert Interval(0.0, 0.0, 0.003).per_cent() == ("0", "0–0.3")


def test_resampling_is_by_seed_and_paired_across_columns():
    statistics = np.random.default_rng(2).random((50, 3))
    sums = resampled_sums(statistics, samples=300, seed=4)
    np.testing.assert_allclose(
        sums[:, :1], resampled_sums(statistics[:, :1], samples=300, seed=4), rtol=1e-12
    )
    assert not np.allclose(sums, resampled_sums(statistics, samples=300, seed=5))
    np.testing.assert_allclose(resampled_sums(np.ones((50, 1)), samples=300), 50)


def test_chunks_do_not_change_the_shape_or_the_count(monkeypatch):
    monkeypatch.setattr("components.evaluation.bootstrap._CHUNK", 70)
    np.testing.assert_array_equal(resampled_sums(np.ones((40, 2)), samples=7), np.full((7, 2), 40.0))


def test_corpus_bleu_is_resampled_as_corpus_bleu():
    """Each resampled BLEU must be the BLEU of the corpus drawn, not a mean of BLEUs of sentences."""
    draw = np.random.default_rng(3)
    length = draw.integers(5, 12, size=(30, 1))
    guessed = np.maximum(length - np.arange(4), 0)
    correct = draw.integers(0, guessed + 1)
    statistics = np.concatenate([length, length + 1, guessed, correct], axis=1).astype(float)
    metric = METRICS["BLEU-4"]
    picks = np.random.default_rng(9).integers(30, size=(200, 30))
    expected = np.quantile([metric.corpus(statistics[pick]) for pick in picks], [0.025, 0.975])
    result = interval(statistics, metric.formula, samples=200, seed=9)
    assert (result.low, result.high) == pytest.approx(tuple(expected), rel=1e-12)
    assert result.mean == metric.corpus(statistics)


def test_pairing_sees_a_small_constant_gain_that_separate_intervals_hide():
    a = np.random.default_rng(5).normal(1.0, 1.0, size=200)
    b = a - 0.05 + np.random.default_rng(6).normal(0, 0.05, size=200)
    difference = paired_bootstrap(a, b)
    assert difference.real and difference.p < 0.01 and difference.low < 0.05 < difference.high
    assert interval(a).low < interval(b).high
    mirrored = paired_bootstrap(b, a)
    assert (mirrored.difference, mirrored.low, mirrored.high) == pytest.approx(
        (-difference.difference, -difference.high, -difference.low)
    )


def test_equal_systems_do_not_differ():
    scores = np.random.default_rng(7).random(100)
    difference = paired_bootstrap(scores, scores)
    assert difference.difference == difference.low == difference.high == 0
    assert difference.p == 1 and not difference.real


def test_p_is_uniform_when_nothing_differs():
    draw = np.random.default_rng(8)
    ps = [paired_bootstrap(draw.normal(size=80), draw.normal(size=80), samples=300).p for _ in range(200)]
    assert np.mean(np.array(ps) < 0.05) < 0.11


def test_different_splits_cannot_be_paired():
    with pytest.raises(UserError, match="3 images with 4"):
        paired_bootstrap(np.ones(3), np.ones(4))
    with pytest.raises(UserError, match="empty"):
        interval(np.ones(0))
