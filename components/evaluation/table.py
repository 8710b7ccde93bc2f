"""Systems x metrics as a table, with intervals: the same rows in the terminal and in the report.

python -m components.evaluation.table [FOLDER]
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from components.errors import UserError
from components.evaluation.degeneration import failure_panel
from components.evaluation.metrics import METRICS, TRUTH
from components.program import command_line
from components.program import main as run_program

Results = Mapping[str, Mapping[str, Any]]
"""variant -> content of its metrics.json."""

MONITORS = {
    "unique": "different",
    "verbatim_reference": "a reference",
    "verbatim_training": "in training",
    "without_end": "no end",
    "repeats": "repetition",
}
"""Monitors that are shares of all captions, and how to call them (word for word a reference, in training)."""


class System(NamedTuple):
    """A column: what it is called, whether it is a baseline, and its scores: metric -> {mean, low, high}."""

    name: str
    baseline: bool
    scores: Mapping[str, Mapping[str, float]]


def systems(results: Results) -> list[System]:
    """The variants, then the baselines; those that do not depend on the variant once."""
    first = next(iter(results.values()), {})
    columns = [System(variant, False, metrics["model"]) for variant, metrics in results.items()]
    for key, name in (("nearest_neighbour", "nearest neighbour"), ("most_frequent", "most frequent")):
        if key in first:
            columns.append(System(name, True, first[key]))
    blind = [(variant, metrics["blind"]) for variant, metrics in results.items() if "blind" in metrics]
    columns += [
        System(f"blind {variant}" if len(blind) > 1 else "blind", True, scores) for variant, scores in blind
    ]
    return columns


def best(columns: list[System], metric: str) -> float | None:
    """The best mean of a metric among all systems."""
    means = [column.scores[metric]["mean"] for column in columns if metric in column.scores]
    return (max if METRICS[metric].higher_is_better else min)(means) if means else None


def digits(metric: str) -> int:
    """Decimals to show: CLIPScore and perplexity are not between 0 and 1."""
    return 1 if metric in ("CLIPScore", "perplexity") else 3


def results_table(results: Results, title: str = "Test split") -> Table:
    """A rich table for the terminal: mean above, 95 % interval below, best in bold."""
    columns = systems(results)
    table = Table(
        title=title,
        caption="mean and 95 % interval over images; perplexity and CHAIR: lower is better",
        box=box.SIMPLE_HEAD,
        padding=0,
    )
    table.add_column("", overflow="fold", min_width=10)
    for column in columns:
        table.add_column(
            column.name,
            justify="right",
            overflow="fold",
            min_width=_longest_word(column.name),
            style="dim" if column.baseline else "",
        )
    shown = [metric for metric in METRICS if any(metric in column.scores for column in columns)]
    first_of_truth = next((metric for metric in shown if metric in TRUTH), None)
    for metric in shown:
        if metric == first_of_truth:
            table.add_section()
        cells = (_cell(column, metric, best(columns, metric)) for column in columns)
        table.add_row(METRICS[metric].label, *cells)
    table.add_section()
    for key, name in MONITORS.items():
        shares = [metrics.get("monitors", {}).get(key) for metrics in results.values()]
        if any(share is not None for share in shares):
            table.add_row(name, *("" if share is None else f"{share:.1%}" for share in shares))
    return table


def failure_panels(results: Results) -> Group:
    """One for each variant whose evaluation found its captions degenerate."""
    failed = {name: metrics["degenerate"] for name, metrics in results.items() if "degenerate" in metrics}
    return Group(*(failure_panel(name, reason) for name, reason in failed.items()))


def _longest_word(name: str) -> int:
    return max(map(len, name.split()))


def _cell(column: System, metric: str, winner: float | None) -> Text:
    score = column.scores.get(metric)
    if score is None:
        return Text("")
    precision = digits(metric)
    bounds = min(precision, 2)  # six systems then fit into 80 columns
    cell = Text(f"{score['mean']:.{precision}f}", style="bold" if score["mean"] == winner else "")
    return cell.append(f"\n{score['low']:.{bounds}f}–{score['high']:.{bounds}f}", style="not bold dim")


def main(folder: str = "results") -> None:
    """Print the table of every variant evaluated in `folder`.

    Raises:
        UserError: there is none.
    """
    paths = sorted(Path(folder).glob("*/metrics.json"))
    if not paths:
        raise UserError(f"{folder}: no evaluation there. Run `dvc repro` first.")
    results = {path.parent.name: json.loads(path.read_text()) for path in paths}
    Console().print(results_table(results), failure_panels(results))


if __name__ == "__main__":
    parser = command_line(__doc__)
    parser.add_argument("folder", nargs="?", default="results", help="(%(default)s)")
    run_program(main, **vars(parser.parse_args()))
