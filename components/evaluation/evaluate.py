"""All scores of all systems on one split, with their intervals, and the files that later stages read
(`results`).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from components.errors import UserError
from components.evaluation.bootstrap import Difference, Interval, interval, paired_bootstrap
from components.evaluation.results import MODEL, summary
from components.evaluation.scoring.language import Language
from components.evaluation.scoring.metrics import METRICS
from components.evaluation.scoring.scorers import Captions, References, coco_statistics
from components.files import atomic_path

PER_IMAGE = (
    "CIDEr",
    "BLEU-4",
    "METEOR",
    "ROUGE-L",
    "CLIPScore",
    "perplexity",
    "entirely_right",
    "drawings_right",
    "CHAIRi",
    "object_recall",
)
"""Metrics that are kept for each image."""


@dataclass(frozen=True)
class Evaluation:
    """Scores of several systems on the same images.

    Attributes:
        image_ids: n images, the order of all rows.
        captions: system -> n captions.
        statistics: system -> family -> [n x width], see `metrics`; of minimal pairs, a row a pair.
        intervals: system -> metric -> interval.
        monitors: name -> share or number, of the model's captions.
        language: of the references, on which rests how captions are scored.
        degenerate: what is wrong with the model's captions, see `degeneration`; None if they are sound.
        notes: column -> n remarks on the model's captions, see `Truth.notes`.
    """

    image_ids: list[str]
    captions: dict[str, list[str]]
    statistics: dict[str, dict[str, np.ndarray]]
    intervals: dict[str, dict[str, Interval]]
    monitors: dict[str, float]
    language: Language
    degenerate: str | None = None
    notes: dict[str, list] = field(default_factory=dict)

    def metrics(self) -> dict[str, Any]:
        """The content of metrics.json."""
        scores = {
            system: {name: row._asdict() for name, row in rows.items()}
            for system, rows in self.intervals.items()
        }
        failed = {"degenerate": self.degenerate} if self.degenerate else {}
        scoring = {"tokenizer": self.language.tokenizer, "remarks": self.language.remarks}
        return {"systems": scores, "monitors": self.monitors, "scoring": scoring} | failed

    def per_image(self) -> pd.DataFrame:
        """image_id, system, caption, a column a metric (missing where a system has none), the notes, a list
        column a family. What no system has gets no column.
        """
        return pd.concat([self._per_image(system) for system in self.captions], ignore_index=True)

    def write(self, folder: str | Path) -> None:
        """Write the three files into `folder`, each whole or not at all."""
        folder, metrics = Path(folder), self.metrics()
        with atomic_path(folder / "per_image.parquet") as path:
            self.per_image().to_parquet(path, index=False)
        for name, content in (("metrics", metrics), ("summary", summary(metrics))):
            with atomic_path(folder / f"{name}.json") as path:
                path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    def _per_image(self, system: str) -> pd.DataFrame:
        statistics, families = self.statistics[system], self._families()
        frame = pd.DataFrame({"image_id": self.image_ids, "system": system, "caption": self.captions[system]})
        for metric in (METRICS[name] for name in PER_IMAGE if METRICS[name].family in families):
            known = metric.family in statistics
            frame[metric.name] = metric.per_image(statistics[metric.family]) if known else np.nan
        for column, remarks in self.notes.items():
            frame[column] = remarks if system == MODEL else None
        for family in families:
            frame[f"{family}_statistics"] = list(statistics[family]) if family in statistics else None
        return frame

    def _families(self) -> list[str]:
        """Those of images that any system has."""
        of_images = dict.fromkeys(metric.family for metric in METRICS.values() if metric.of == "images")
        return [name for name in of_images if any(name in known for known in self.statistics.values())]


def evaluate(
    systems: Mapping[str, Captions],
    references: References,
    extra: Mapping[str, Mapping[str, np.ndarray]] | None = None,
    monitors: Mapping[str, float] | None = None,
    notes: Mapping[str, list] | None = None,
    samples: int = 2000,
    seed: int = 0,
) -> Evaluation:
    """Score the captions of every system.

    Args:
        systems: "model", "nearest_neighbour", ... -> image_id -> caption.
        references: of exactly these images.
        extra: system -> family -> [n x width] from elsewhere: "clip" (`clip_scores`), "likelihood"
            (`likelihood`), "objects", "scene", "drawings" (`Truth`), "minimal_pairs" (`pair_statistics`).
        monitors: of the model's captions.
        notes: column -> remarks on the model's captions (`Truth`).
        samples, seed: of the bootstrap.

    Raises:
        UserError: a system has not captioned exactly these images.
    """
    statistics = coco_statistics(systems, references)
    for system, families in (extra or {}).items():
        statistics[system] |= families
    intervals = {
        system: {
            name: interval(families[metric.family], metric.formula, samples, seed)
            for name, metric in METRICS.items()
            if metric.family in families
        }
        for system, families in statistics.items()
    }
    captions = {system: references.align(answers, system) for system, answers in systems.items()}
    return Evaluation(
        list(references.raw),
        captions,
        statistics,
        intervals,
        dict(monitors or {}),
        references.language,
        notes=dict(notes or {}),
    )


def compare(
    a: pd.DataFrame,
    b: pd.DataFrame,
    metrics: tuple[str, ...] = ("CIDEr", "BLEU-4"),
    samples: int = 2000,
    seed: int = 0,
) -> dict[str, Difference]:
    """Paired bootstrap of two systems over the images that both captioned: metric -> a minus b.

    Args:
        a, b: of `results.read_per_image`.

    Raises:
        UserError: they are about different images, or a metric is missing.
    """
    if set(a.index) != set(b.index):
        lonely = sorted(set(a.index) ^ set(b.index))
        raise UserError(f"Not the same test images: {len(lonely)} are in one only, such as '{lonely[0]}'.")
    b = b.loc[a.index]
    return {
        name: paired_bootstrap(_stack(a, name), _stack(b, name), METRICS[name].formula, samples, seed)
        for name in metrics
    }


def _stack(rows: pd.DataFrame, name: str) -> np.ndarray:
    """The statistics [n x width] that a metric is made of."""
    if name not in METRICS:
        raise UserError(f"No metric '{name}'. There are {', '.join(METRICS)}.")
    column = rows.get(f"{METRICS[name].family}_statistics")
    if column is None or column.isna().any():
        raise UserError(f"The metric '{name}' was not computed for these captions.")
    return np.stack(column.to_list())
