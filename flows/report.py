"""Stage `report`: one page to look at.

python -m flows.report
"""

import platform
from datetime import UTC, datetime
from pathlib import Path

from components.config import Params, Variant
from components.data.tables import read_tables
from components.tracking import tables_digest
from components.tracking.git import git_tags
from flows.features import open_features
from flows.paths import MODELS, PREPARED, REPORT, RESULTS, VALIDATION, require_model, require_results
from flows.stage import main, stage


@stage
def report(variants: list[Variant] | None = None) -> None:
    """Scores, curves, captions, attention and data faults of `variants` (default: those of params.yaml)."""
    from components.report.build import build_report
    from components.report.content import read_json
    from components.report.plots import write_plots
    from components.report.render import write_report

    params, tables = Params.load(), read_tables(PREPARED)
    variants = variants or params.variants
    for variant in variants:
        require_model(variant)
        require_results(variant)
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
    write_report(page, REPORT)
    write_plots(page, REPORT.parent / "plots")
    print(f"Look at {REPORT}")


def provenance(data: str) -> dict[str, str]:
    """What made the page."""
    tags = git_tags()
    commit = tags.get("mlflow.source.git.commit", "none")
    return {
        "commit": commit[:12] + (" (with uncommitted changes)" if tags.get("git.dirty") == "true" else ""),
        "data": data,
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    }


if __name__ == "__main__":
    main(report)
