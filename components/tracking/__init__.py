"""Runs in MLflow. Importing this is cheap; MLflow comes with the first call."""

from components.tracking.logger import VariantRun
from components.tracking.names import evaluation_metrics, trainer_metrics
from components.tracking.provenance import (
    dataset_entry,
    pipeline_key,
    scores_digest,
    tables_digest,
    weights_digest,
)
from components.tracking.runs import open_variant_run

__all__ = [
    "VariantRun",
    "dataset_entry",
    "evaluation_metrics",
    "open_variant_run",
    "pipeline_key",
    "scores_digest",
    "tables_digest",
    "trainer_metrics",
    "weights_digest",
]
