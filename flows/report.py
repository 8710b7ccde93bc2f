"""Stage `report`: one page to look at.

python -m flows.report
"""

from pathlib import Path

from components.config import Params, Variant
from components.data.tables import read_tables
from components.evaluation.results import read_json
from components.tracking.provenance import tables_digest
from flows.features import open_features
from flows.paths import MODELS, PREPARED, REPORT, RESULTS, VALIDATION, require_model
from flows.stage import main, stage


@stage
def report(variants: list[Variant] | None = None) -> None:
    """Scores, curves, captions, attention and data faults of `variants` (default: those of params.yaml)."""
    from components.report.build import build_report, provenance
    from components.report.plots import write_plots
    from components.report.render import write_page

    params, tables = Params.load(), read_tables(PREPARED)
    variants = variants or params.variants
    for variant in variants:
        require_model(variant, evaluated=True)
    page = build_report(
        variants,
        tables,
        open_features(params, tables),
        RESULTS,
        MODELS,
        faults=read_json(VALIDATION),
        provenance=provenance(tables_digest(tables)),
        params=Path("params.yaml").read_text(encoding="utf-8"),
    )
    write_page(page, REPORT)
    write_plots(page, REPORT.parent / "plots")
    print(f"Look at {REPORT}")


if __name__ == "__main__":
    main(report)
