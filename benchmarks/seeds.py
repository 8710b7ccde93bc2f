"""Mean and spread of the test scores over training seeds, on the towers and features that `dvc repro` left.

    python -m benchmarks.seeds 0 1 2
    python -m benchmarks.seeds --untrained                     # the bridges of train.init, as they come
    python -m benchmarks.seeds 0 --from-nothing                # without train.init
    python -m benchmarks.seeds 0 --reference --variants mlp    # by the reference's recipe, from nothing

Prints a Markdown table; nothing is registered. Needs data/ of a finished `dvc repro`.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

from components.config import Params
from components.data.tables import read_tables
from components.evaluation.evaluate import Evaluation
from components.evaluation.variant import evaluate_variant
from components.features.store import FeatureStore
from components.training.train import train_variant
from components.variants import VARIANTS
from flows.paths import FEATURES, PREPARED, TOWERS
from flows.train import open_init

METRICS = ("CIDEr", "BLEU-4", "METEOR", "ROUGE-L", "entirely_right", "CHAIRi", "minimal_pairs")

REFERENCE = {
    "init": None,
    "optim": "adamw",
    "learning_rate": 1e-4,
    "gate_learning_rate": 1e-4,
    "lr_scheduler_type": "constant_with_warmup",
    "warmup_ratio": 0.1,
    "weight_decay": 1e-3,
    "decoding": {"num_beams": 5, "length_penalty": 1.0, "no_repeat_ngram_size": 0, "max_new_tokens": None},
}
"""`train` as the reference has it: AdamW at one rate, 10 % warm-up, then constant; five beams, weighed by the
mean log-probability a token. Its mean-pooled prefix, resampler and gated cross-attention are ours, too."""


FROM_NOTHING = {"init": None, "learning_rate": 3e-3, "gate_learning_rate": 2e-2}
"""A fresh bridge takes ten times the rate at which one from `train.init` is tuned."""


def changed(params: Params, **train: object) -> Params:
    """`params` with another recipe; data, towers, bridge and number of steps stay."""
    values = params.model_dump(by_alias=True)
    return Params.model_validate(values | {"train": values["train"] | train})


def evaluate_untrained(params: Params, variant: str) -> Evaluation:
    """Evaluate what `variant` would start from on the test split."""
    tables, store = read_tables(PREPARED), FeatureStore(FEATURES, params.features.resident)
    return evaluate_variant(params, tables, store, TOWERS, Path(params.train.init) / variant)


def evaluate_seed(params: Params, variant: str) -> Evaluation:
    """Train `variant` with `params.seed` and evaluate it on the test split."""
    tables, store = read_tables(PREPARED), FeatureStore(FEATURES, params.features.resident)
    with tempfile.TemporaryDirectory() as scratch:
        out, checkpoints = Path(scratch) / variant, Path(scratch) / "checkpoints"
        init = open_init(params.train.init, variant)
        train_variant(params, variant, tables, store, TOWERS, out, checkpoints, init=init)
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


def main() -> None:
    """Train and evaluate every variant (default: those of params.yaml) with each of the seeds."""
    shown = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=shown)
    parser.add_argument("seeds", nargs="*", type=int, default=[0, 1, 2])
    recipe = parser.add_mutually_exclusive_group()
    recipe.add_argument("--untrained", action="store_true")
    recipe.add_argument("--from-nothing", action="store_true")
    recipe.add_argument("--reference", action="store_true")
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS))
    asked, params = parser.parse_args(), Params.load()
    if asked.reference or asked.from_nothing:
        params = changed(params, **(REFERENCE if asked.reference else FROM_NOTHING))
    runs = {}
    for variant in asked.variants or params.variants:
        if asked.untrained:
            runs[variant] = [evaluate_untrained(params, variant)]
            continue
        seeded = [params.model_copy(update={"seed": seed}) for seed in asked.seeds]
        runs[variant] = [evaluate_seed(each, variant) for each in seeded]
    print(f"\n| | {' | '.join(METRICS)} |\n|---|{'---|' * len(METRICS)}")
    for variant, evaluations in runs.items():
        print(row(variant, evaluations, "model"))
        print(row(f"{variant}, blind", evaluations, "blind"))
    evaluations = next(iter(runs.values()))
    for system in ("nearest_neighbour", "most_frequent"):
        print(row(system.replace("_", " "), evaluations[:1], system))


if __name__ == "__main__":
    main()
