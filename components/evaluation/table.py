"""Systems x metrics as a table, with intervals: the same rows in the terminal and in the report.

python -m components.evaluation.table [FOLDER]
"""

from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from components.errors import UserError
from components.evaluation.results import (
    MONITORS,
    Results,
    System,
    best,
    digits,
    read_metrics,
    scored_how,
    shown,
    systems,
)
from components.evaluation.scoring.degeneration import print_failure
from components.evaluation.scoring.metrics import METRICS, TRUTH
from components.program import command_line
from components.program import main as run_program


def results_table(results: Results, title: str = "Test split") -> Table:
    """A rich table for the terminal: mean above, 95 % interval below, best in bold."""
    columns = systems(results)
    caption = "mean and 95 % interval over images; perplexity and CHAIR: lower is better"
    table = Table(title=title, caption=caption, box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    table.add_column("", overflow="fold", min_width=10)
    for column in columns:
        table.add_column(
            column.name.replace(" ", "\n"),  # else rich makes room for the whole name, and cuts the last one
            justify="right",
            overflow="fold",
            min_width=max(map(len, column.name.split())),
            style="dim" if column.baseline else "",
        )
    first_of_truth = next((metric for metric in shown(columns) if metric in TRUTH), None)
    for metric in shown(columns):
        if metric == first_of_truth:
            table.add_section()
        cells = (_cell(column, metric, best(columns, metric)) for column in columns)
        table.add_row(METRICS[metric].label, *cells)
    table.add_section()
    for key, (name, _) in MONITORS.items():
        shares = [metrics.get("monitors", {}).get(key) for metrics in results.values()]
        if any(share is not None for share in shares):
            table.add_row(name, *("" if share is None else f"{share:.1%}" for share in shares))
    return table


def _cell(column: System, metric: str, winner: float | None) -> Text:
    score, precision = column.scores.get(metric), digits(metric)
    if score is None:
        return Text("")
    mean, bounds = score.text(precision, of_bounds=min(precision, 2))  # six systems then fit into 80 columns
    cell = Text(mean, style="bold" if score.mean == winner else "")
    return cell.append(f"\n{bounds}", style="not bold dim")


def main(folder: str = "results") -> None:
    """Print the table of every variant evaluated in `folder`, and which of them have failed.

    Raises:
        UserError: there is none.
    """
    paths = sorted(Path(folder).glob("*/metrics.json"))
    if not paths:
        raise UserError(f"{folder}: no evaluation there. Run `dvc repro` first.")
    results = {path.parent.name: read_metrics(path.parent) for path in paths}
    Console().print(results_table(results), *dict.fromkeys(map(scored_how, results.values())), sep="\n")
    for name, metrics in results.items():
        print_failure(name, metrics.get("degenerate"))


if __name__ == "__main__":
    parser = command_line(__doc__)
    parser.add_argument("folder", nargs="?", default="results", help="(%(default)s)")
    run_program(main, **vars(parser.parse_args()))
