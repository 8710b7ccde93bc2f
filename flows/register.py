"""Stage `register`: every variant a version in the MLflow registry, the best one @champion if it passes the
gate.

    python -m flows.register
"""

from rich.console import Console

from components.config import Params, Variant
from components.data.tables import read_tables
from components.evaluation.scoring.degeneration import failure_panel
from components.registry.candidate import register_variant
from components.registry.gate import promote, write_decisions
from flows.artifacts import versions_artifact
from flows.paths import MODELS, PREPARED, REGISTRY, RESULTS, require_model, require_results
from flows.stage import main, stage


@stage
def register(variants: list[Variant] | None = None) -> None:
    """Register `variants` (default: those of params.yaml), choose the champion, write
    reports/registry.json.
    """
    params, tables = Params.load(), read_tables(PREPARED)
    name, variants = params.register_.name, variants or params.variants
    for variant in variants:
        require_model(variant)
        require_results(variant)
    candidates = [
        register_variant(variant, params, tables, MODELS / variant, RESULTS / variant) for variant in variants
    ]
    decisions = promote(candidates, name)
    rows = write_decisions(decisions, REGISTRY)
    versions_artifact(name, rows)
    for variant, row in rows.items():
        alias = f" @{row['alias']}" if row["alias"] else ""
        print(f"{variant}: {name} version {row['version']}{alias}: {row['reason']}")
    for candidate in candidates:
        if candidate.degenerate:  # the last stage: said once more, where a flow ends
            Console().print(failure_panel(candidate.variant, candidate.degenerate))


if __name__ == "__main__":
    main(register)
