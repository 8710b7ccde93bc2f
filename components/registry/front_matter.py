"""The front matter of a model card: what the Hugging Face hub lists, filters and compares models by."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from components.evaluation.results import MODEL, Metrics, scores
from components.evaluation.scoring.metrics import METRICS
from components.model.custom_code import TASK

HUB_METRICS = ("bleu", "rouge")
"""Families that are one metric there, whatever the n-grams."""


def front_matter(tags: Mapping[str, str], params: Mapping[str, Any], metrics: Metrics) -> ModelCardData:
    """Of a version; the arguments are those of `model_card`. Its licences have no name that the hub knows:
    they are those of data and towers, and stand in the file LICENSE of an export.
    """
    data, found = params["data"], scores(metrics, MODEL)
    hub_data = [] if data["source"] != "datasets" else _not_here(data["annotations"], data["folder"])
    dataset = hub_data[0].partition(":")[0] if hub_data else data["source"]
    results = [
        EvalResult(
            task_type=TASK,
            dataset_type=dataset,
            dataset_name=f"{dataset} ({tags['data']})",
            dataset_split="test",
            dataset_args={"digest": tags["test_data"]},
            metric_type=_on_the_hub(name),
            metric_name=METRICS[name].label,
            metric_value=round(found[name].mean, 4),
        )
        for name in without_parts(found)
    ]
    return ModelCardData(
        base_model=_not_here(params["towers"]["clip"]) + _not_here(params["towers"]["gpt2"]) or None,
        datasets=[dataset] if hub_data else None,
        eval_results=results,
        library_name="transformers",
        license="other",
        license_name="of-data-and-towers",
        license_link="LICENSE",
        metrics=list(dict.fromkeys(result.metric_type for result in results)),
        model_name=f"{params['register']['name']} ({tags['variant']})",
        pipeline_tag=TASK,
        tags=["image-captioning", "clip", "gpt2"],
    )


def without_parts(names: Iterable[str]) -> list[str]:
    """The metrics but those of parts of another (entirely_right_counts)."""
    names = list(names)
    return [name for name in names if name.rpartition("_")[0] not in names]


def _on_the_hub(metric: str) -> str:
    family = METRICS[metric].family
    return family if family in HUB_METRICS else metric.lower()


def _not_here(name: str, folder: str = "") -> list[str]:
    """What is no folder here is of the hub, which refuses to list what it has not."""
    return [] if Path(folder, name).exists() else [name]
