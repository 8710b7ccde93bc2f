"""Is the difference between two runs real? Paired bootstrap over test pictures, logged with the first run.

python -m flows.compare mlp transformer
python -m flows.compare models:/clip-gpt2-captioner/3 models:/clip-gpt2-captioner@champion

A run is called by its id, its name, its variant (the newest run of it) or a model version.
"""

from rich import box
from rich.console import Console
from rich.table import Table

from components.errors import UserError
from components.evaluation.bootstrap import Difference
from components.evaluation.evaluate import compare
from components.evaluation.results import rows_of
from components.program import command_line, main
from components.registry.lookup import EvaluatedRun, log_comparison, tested_run

METRICS = ("CIDEr", "BLEU-4")
TRUE = "entirely_right"  # of scenes only


def compare_runs(first: str, second: str, samples: int = 2000) -> dict[str, Difference]:
    """Print the comparison of two runs on their common test pictures, and log it.

    Raises:
        UserError: no such run, one without test scores, or different test data.
    """
    a, b = tested_run(first), tested_run(second)
    if a.run_id == b.run_id:
        raise UserError(f"'{first}' and '{second}' are the same: {a.name}.")
    if a.test_digest != b.test_digest:
        raise UserError(
            f"Not comparable: {a.name} was tested on the data {a.test_digest}, {b.name} on {b.test_digest}."
        )
    metrics = (*METRICS, TRUE) if all(TRUE in run.scores for run in (a, b)) else METRICS
    differences = compare(rows_of(a.scores), rows_of(b.scores), metrics, samples)
    words = verdict(differences)
    Console().print(table(a, b, differences), f"{a.name} against {b.name}: {words}.\n", highlight=False)
    names = {"a": a.name, "b": b.name, "a_run_id": a.run_id, "b_run_id": b.run_id}
    scores = {metric: d._asdict() | {"real": bool(d.real)} for metric, d in differences.items()}
    content = names | {"test_data": a.test_digest, "samples": samples, "differences": scores}
    log_comparison(a.run_id, b, content, words)
    return differences


def verdict(differences: dict[str, Difference]) -> str:
    """One phrase a metric: is the difference real, and which way?"""
    phrases = []
    for metric, found in differences.items():
        way = "better" if found.difference > 0 else "worse"
        said = f"{metric} is really {way}" if found.real else f"no real difference in {metric}"
        phrases.append(f"{said} ({found.text()[0]}, p {found.p:.3f})")
    return "; ".join(phrases)


def table(a: EvaluatedRun, b: EvaluatedRun, differences: dict[str, Difference]) -> Table:
    """Scores of both, their difference with its interval, p, and whether it is real."""
    result = Table(title=f"{len(rows_of(a.scores))} test pictures, data {a.test_digest}", box=box.SIMPLE_HEAD)
    result.add_column("")
    for heading in (a.heading, b.heading, "difference", "95 % interval", "p", "real"):
        result.add_column(heading, justify="right")
    for metric, d in differences.items():
        cells = (f"{d.a:.3f}", f"{d.b:.3f}", *d.text(), f"{d.p:.3f}")
        result.add_row(metric, *cells, "yes" if d.real else "no")
    return result


if __name__ == "__main__":
    parser = command_line(__doc__)
    parser.add_argument("first", metavar="RUN")
    parser.add_argument("second", metavar="RUN")
    options = parser.parse_args()
    main(compare_runs, options.first, options.second)
