"""What an evaluation leaves, read back: scores of systems with their intervals, and how they are written.

per_image.parquet  a row an image and system: caption, scores, what is wrong in it, and the statistics that
                   the scores are made of
metrics.json       {"systems": {system: {metric: {mean, low, high}}}, "monitors": {...},
                   "scoring": {tokenizer, remarks}, "degenerate": "..." if it is}
summary.json       {metric: mean} of the system under test, a few: a row of `dvc metrics show`
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from components.errors import UserError
from components.evaluation.bootstrap import Interval
from components.evaluation.scoring.language import PTB
from components.evaluation.scoring.metrics import METRICS

MODEL = "model"
"""The system under test; the others are baselines."""

BASELINES = {"nearest_neighbour": "nearest neighbour", "most_frequent": "most frequent", "blind": "blind"}
"""The others, and how to call them."""

MONITORS = {
    "unique": ("different", "different captions"),
    "verbatim_reference": ("a reference", "word for word a reference"),
    "verbatim_training": ("in training", "word for word in training"),
    "without_end": ("no end", "without an end"),
    "repeats": ("repetition", "with a repetition"),
}
"""Monitors that are shares of all captions, and how to call them: in a narrow table, and on a page."""

SUMMARY = ("CIDEr", "BLEU-4", "METEOR", "CLIPScore", "entirely_right", "CHAIRi", "minimal_pairs")
"""The metrics of summary.json, as far as the data allow them."""

Metrics = Mapping[str, Any]
"""The content of a metrics.json."""

Results = Mapping[str, Metrics]
"""variant -> content of its metrics.json."""


class System(NamedTuple):
    """What it is called, whether it is a baseline, and its scores."""

    name: str
    baseline: bool
    scores: Mapping[str, Interval]


def systems(results: Results) -> list[System]:
    """The variants, then the baselines; those that do not depend on the variant once."""
    found = [System(variant, False, scores(metrics, MODEL)) for variant, metrics in results.items()]
    for key, name in BASELINES.items():
        of = {v: scores(metrics, key) for v, metrics in results.items() if key in metrics["systems"]}
        if key == "blind" and len(of) > 1:
            found += [System(f"{name} {variant}", True, known) for variant, known in of.items()]
        elif of:
            found.append(System(name, True, next(iter(of.values()))))
    return found


def scores(metrics: Metrics, system: str) -> dict[str, Interval]:
    """Metric -> score of one system."""
    return {name: Interval(**score) for name, score in metrics["systems"][system].items()}


def shown(columns: Sequence[System]) -> list[str]:
    """The metrics that any of the systems has, in the order of tables."""
    return [name for name in METRICS if any(name in column.scores for column in columns)]


def summary(metrics: Metrics) -> dict[str, float]:
    """The content of summary.json."""
    known = scores(metrics, MODEL)
    return {name: round(known[name].mean, 4) for name in SUMMARY if name in known}


def tokenizer(metrics: Metrics) -> str:
    """What split the captions into words for these scores; evaluations that do not say had one for all."""
    return metrics.get("scoring", {}).get("tokenizer", PTB)


def scored_how(metrics: Metrics) -> str:
    """By which tokenizer, and what is not scored and why, in sentences."""
    return f"Words by {tokenizer(metrics)}. {metrics.get('scoring', {}).get('remarks', '')}".strip()


def best(columns: Sequence[System], metric: str) -> float | None:
    """The best mean of a metric among all systems."""
    means = [column.scores[metric].mean for column in columns if metric in column.scores]
    return (max if METRICS[metric].higher_is_better else min)(means) if means else None


def digits(metric: str) -> int:
    """Decimals to show: CLIPScore and perplexity are not between 0 and 1."""
    return 1 if metric in ("CLIPScore", "perplexity") else 3


def written(metric: str, score: Interval | None) -> str:
    """A score in one line, "0.712 (0.690–0.734)"; nothing where a system has none."""
    return "" if score is None else "{} ({})".format(*score.text(digits(metric)))


def read_metrics(folder: str | Path) -> Metrics:
    """The metrics.json in `folder`.

    Raises:
        UserError: no such file, or damaged.
    """
    path = Path(folder) / "metrics.json"
    if (content := read_json(path)) is None:
        raise UserError(f"{path}: no such file. Run `dvc repro evaluate` first.")
    if "systems" not in content:
        raise UserError(f"{path}: the scores of another version of this project. Run `dvc repro evaluate`.")
    return content


def read_json(path: str | Path) -> Any:
    """The content of a JSON file, None if there is no such file.

    Raises:
        UserError: not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}). Delete it and run `dvc repro`.") from None


def read_per_image(path: str | Path, system: str = MODEL) -> pd.DataFrame:
    """The rows of one system of a per_image.parquet, by image_id.

    Raises:
        UserError: no such file, another kind of file, or no such system in it.
    """
    try:
        frame = pd.read_parquet(path)
        rows = rows_of(frame, system)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file. Run `dvc repro evaluate` first.") from None
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{path}: not the scores of an evaluation ({' '.join(str(error).split())})."
        ) from None
    if rows.empty:
        raise UserError(
            f"{path}: no system '{system}'. It has {', '.join(sorted(frame['system'].unique()))}."
        )
    return rows


def rows_of(frame: pd.DataFrame, system: str = MODEL) -> pd.DataFrame:
    """The rows of one system, by image_id."""
    return frame[frame["system"] == system].set_index("image_id")
