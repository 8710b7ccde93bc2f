"""Stage `register`: every variant a version in the MLflow registry, the best one @champion if it passes the
gate.

    python -m flows.register
"""

from components.config import Params, Variant
from components.data.tables import read_tables
from components.evaluation.scoring.degeneration import print_failure
from components.registry.candidate import register_variant
from components.registry.gate import promote, write_decisions
from flows.artifacts import versions_artifact
from flows.paths import MODELS, PREPARED, REGISTRY, RESULTS, require_model
from flows.stage import main, stage


@stage
def register(variants: list[Variant] | None = None) -> None:
    """Register `variants` (default: those of params.yaml), choose the champion, write
    reports/registry.json.
    """
    params, tables = Params.load(), read_tables(PREPARED)
    name, variants = params.register_.name, variants or params.variants
    for variant in variants:
        require_model(variant, evaluated=True)
    candidates = [
        register_variant(variant, params, tables, MODELS / variant, RESULTS / variant) for variant in variants
    ]
    rows = write_decisions(promote(candidates, name), REGISTRY)
    versions_artifact(name, rows)
    for variant, row in rows.items():
        alias = f" @{row['alias']}" if row["alias"] else ""
        print(f"{variant}: {name} version {row['version']}{alias}: {row['reason']}")
    for candidate in candidates:  # the last stage: said once more, where a flow ends
        print_failure(candidate.variant, candidate.degenerate)


if __name__ == "__main__":
    main(register)
