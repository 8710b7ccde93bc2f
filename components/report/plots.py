"""What `dvc plots` draws: every variant in one file of rows, and a picture. Templates lie in .dvc/plots.

curves.csv   curve, variant, line, step, value: training loss, validation CIDEr, |tanh(alpha)| of each gate
scores.csv   metric, system, mean, low, high: variants and baselines on the test split
samples.png  test pictures with the captions of every variant and a reference
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from components.data.display import caption_sheet
from components.evaluation.results import shown, systems
from components.files import atomic_path
from components.report.content import Report, Variant

CURVES = {"loss": "training loss", "val/CIDEr": "validation CIDEr"}
GATES = {"gate/attention": "gates of attention", "gate/feed_forward": "gates of feed-forward"}


def write_plots(report: Report, folder: Path) -> None:
    """Write the three files into `folder`, each whole or not at all."""
    for name, frame in (("curves", curves(report.variants)), ("scores", scores(report.variants))):
        with atomic_path(folder / f"{name}.csv") as path:
            frame.to_csv(path, index=False)
    ids = report.sample
    captions = [[f"{v.name}: {v.captions[image_id]}" for v in report.variants] for image_id in ids]
    references = [report.references[image_id][0] for image_id in ids]
    clips = [report.clips[image_id] for image_id in ids]
    with atomic_path(folder / "samples.png") as path:
        caption_sheet(clips, captions, references, columns=5, lines=3).save(path)


def curves(variants: Sequence[Variant]) -> pd.DataFrame:
    """A row a point; `line` tells the gates of one curve apart."""
    rows = []
    for variant, record in ((v.name, record) for v in variants for record in v.history):
        for key, value in record.items():
            kind, _, block = key.rpartition(".")
            if key in CURVES:
                rows.append((CURVES[key], variant, "", record["step"], value))
            elif kind in GATES:  # a gate's sign has no meaning: the weights behind it can turn as well
                rows.append((GATES[kind], variant, f"block {block}", record["step"], abs(value)))
    return pd.DataFrame(rows, columns=["curve", "variant", "line", "step", "value"])


def scores(variants: Sequence[Variant]) -> pd.DataFrame:
    """A row a metric and system, in the order of the table on the page."""
    columns = systems({variant.name: variant.metrics for variant in variants})
    rows = [
        (metric, column.name, *column.scores[metric])
        for metric in shown(columns)
        for column in columns
        if metric in column.scores
    ]
    return pd.DataFrame(rows, columns=["metric", "system", "mean", "low", "high"])
