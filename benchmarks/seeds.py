"""Mean and spread of the test scores over training seeds, on the towers and features that `dvc repro` left.

    python -m benchmarks.seeds 0 1 2

Prints a Markdown table; nothing is registered. Needs data/ of a finished `dvc repro`.
"""

import statistics
import sys
import tempfile
from pathlib import Path

from components.config import Params
from components.data.features import FeatureStore
from components.data.tables import read_tables
from components.evaluation.evaluate import Evaluation
from components.evaluation.variant import evaluate_variant
from components.training.train import train_variant
from flows.paths import FEATURES, PREPARED, TOWERS

METRICS = ("CIDEr", "BLEU-4", "METEOR", "ROUGE-L", "CLIPScore", "entirely_right", "CHAIRi", "minimal_pairs")


def evaluate_seed(params: Params, variant: str) -> Evaluation:
    """Train `variant` with `params.seed` and evaluate it on the test split."""
    tables, store = read_tables(PREPARED), FeatureStore(FEATURES)
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "models" / variant
        train_variant(params, variant, tables, store, TOWERS, out)
        return evaluate_variant(params, tables, store, TOWERS, out)


def row(name: str, evaluations: list[Evaluation], system: str) -> str:
    """`name | mean ± standard deviation over the seeds | ...`; empty where there is no such score."""
    cells = []
    for metric in METRICS:
        scores = [evaluation.intervals[system] for evaluation in evaluations]
        values = [score[metric].mean for score in scores if metric in score]
        spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
        cells.append(f"{statistics.mean(values):.3f}{spread}" if values else "")
    return f"| {name} | {' | '.join(cells)} |"


def main(seeds: list[int]) -> None:
    """Train and evaluate every variant of params.yaml with each of `seeds`."""
    params = Params.load()
    runs = {
        variant: [evaluate_seed(params.model_copy(update={"seed": seed}), variant) for seed in seeds]
        for variant in params.variants
    }
    print(f"\n| | {' | '.join(METRICS)} |\n|---|{'---|' * len(METRICS)}")
    for variant, evaluations in runs.items():
        print(row(variant, evaluations, "model"))
        print(row(f"{variant}, blind", evaluations, "blind"))
    evaluations = next(iter(runs.values()))
    for system in ("nearest_neighbour", "most_frequent"):
        print(row(system.replace("_", " "), evaluations[:1], system))


if __name__ == "__main__":
    main([int(seed) for seed in sys.argv[1:]] or [0, 1, 2])
