"""Experiments and registry: the only package that knows MLflow. Importing it is cheap; MLflow comes with the
first call.
"""

from components.tracking.names import evaluation_metrics, gate_metrics, trainer_metrics
from components.tracking.provenance import (
    dataset_entry,
    pipeline_key,
    scores_digest,
    tables_digest,
    weights_digest,
)
from components.tracking.runs import VariantRun, open_variant_run

__all__ = [
    "VariantRun",
    "dataset_entry",
    "evaluation_metrics",
    "gate_metrics",
    "open_variant_run",
    "pipeline_key",
    "scores_digest",
    "tables_digest",
    "trainer_metrics",
    "weights_digest",
]
