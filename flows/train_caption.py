"""The whole pipeline as one Prefect flow run: what the deployment `train-caption` runs.

    python -m flows.train_caption
    prefect deployment run train-caption -p mapper=transformer

It is `dvc repro` (`flows.dvc_repro`), so that both work in one folder: a stage runs only when something that
it depends on has changed, as a subflow, and dvc.lock tells what has been made.
"""

import subprocess
from collections.abc import Sequence
from typing import Literal

from components.config import Params
from components.errors import UserError
from components.variants import VARIANTS
from flows.artifacts import pipeline_artifacts
from flows.dvc_repro import DVC, repro, up_to_date
from flows.register import register
from flows.report import report
from flows.stage import in_flow, main, stage
from flows.subflow import failure_below


@stage
def train_caption(mapper: Literal["all", "mlp", "transformer", "none"] = "all") -> None:
    """Data, towers, features; then train and evaluate each variant of params.yaml, write the report and
    register the models. Only what has changed runs.

    Args:
        mapper: only the variants with this mapper; report and registry are then about these, unless the
            others are up to date as well.
    """
    params = Params.load()
    variants = [v for v in params.variants if mapper in ("all", VARIANTS[v][0])]
    if not variants:
        raise UserError(f"mapper is '{mapper}': no variant in params.yaml has it. Add one to `variants`.")
    others = [v for v in params.variants if v not in variants]
    if others:
        _require_success(repro(variants))
    if not others or up_to_date(others):
        variants = params.variants
        _require_success(repro())
    else:
        report_and_register(variants)
    pipeline_artifacts(variants, params.register_.name)


def report_and_register(variants: Sequence[str]) -> None:
    """Of some variants, which DVC cannot: its stages are about all of params.yaml. It is told what they have
    left, so that `dvc checkout` and `dvc repro` agree with it."""
    report(variants)
    register(variants)
    _require_success(subprocess.call([*DVC, "commit", "--quiet", "--force", "report", "register"]))


def _require_success(code: int) -> None:
    if code:
        reason = failure_below() if in_flow() else None
        raise UserError(reason or f"DVC ended with exit code {code}; what it printed above says why.")


if __name__ == "__main__":
    main(train_caption)
