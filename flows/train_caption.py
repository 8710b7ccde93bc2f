"""The whole pipeline as one Prefect flow run: what the deployment `train-caption` runs.

    python -m flows.train_caption
    prefect deployment run train-caption -p mapper=transformer

`dvc repro` runs the same stages, each only when something it depends on has changed, and records their
versions.
"""

from typing import Literal

from components.config import Params
from components.errors import UserError
from components.variants import VARIANTS
from flows.evaluate import evaluate
from flows.features import features
from flows.prepare import prepare
from flows.register import register
from flows.report import report
from flows.stage import main, stage
from flows.towers import towers
from flows.train import train


@stage
def train_caption(mapper: Literal["all", "mlp", "transformer", "none"] = "all") -> None:
    """Data, towers, features; then train and evaluate each variant of params.yaml, write the report and
    register the models.

    Args:
        mapper: only the variants with this mapper.
    """
    variants = [v for v in Params.load().variants if mapper in ("all", VARIANTS[v][0])]
    if not variants:
        raise UserError(f"mapper is '{mapper}': no variant in params.yaml has it. Add one to `variants`.")
    prepare()
    towers()
    features()
    for variant in variants:
        train(variant)
        evaluate(variant)
    report(variants)
    register(variants)


if __name__ == "__main__":
    main(train_caption)
