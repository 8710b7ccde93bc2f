"""What Prefect's UI shows on the page of a flow run: scores, captioned pictures, versions, the MLflow run.

Outside of a flow run there is no such page, and nothing is done.
"""

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from components.data.pictures import data_url
from components.data.tables import Tables
from components.evaluation.metrics import METRICS
from flows.stage import in_flow

if TYPE_CHECKING:
    from components.evaluation.evaluate import Evaluation


def in_flows(function: Callable[..., None]) -> Callable[..., None]:
    """`function`, where a flow is running."""

    @functools.wraps(function)
    def show(*args, **kwargs) -> None:
        if in_flow():
            function(*args, **kwargs)

    return show


@in_flows
def evaluation_artifacts(variant: str, evaluation: "Evaluation", shown: Tables, run_id: str | None) -> None:
    """Of an evaluated variant: scores, the pictures of `shown` with its captions, the MLflow run."""
    captions = dict(zip(evaluation.image_ids, evaluation.captions["model"], strict=True))
    scores_artifact(variant, evaluation.metrics())
    captions_artifact(variant, shown, captions)
    run_artifact(variant, run_id)


def scores_artifact(variant: str, metrics: Mapping[str, Mapping]) -> None:
    """A table of metrics by systems, means with their intervals; `metrics` is the content of metrics.json."""
    from prefect.artifacts import create_table_artifact

    systems = {name: scores for name, scores in metrics.items() if name not in ("monitors", "degenerate")}
    rows = [
        {"metric": metric} | {name: _cell(scores.get(metric)) for name, scores in systems.items()}
        for metric in METRICS
        if any(metric in scores for scores in systems.values())
    ]
    create_table_artifact(rows, key=f"scores-{variant}", description=f"Test scores of {variant}")


def captions_artifact(variant: str, shown: Tables, captions: Mapping[str, str]) -> None:
    """The pictures of `shown` with their captions by the model and, in grey, a reference each."""
    from prefect.artifacts import create_image_artifact

    from components.grid import caption_grid

    references = shown.references()
    sheet = caption_grid(
        [shown.open_frames(i) for i in references],
        [captions[i] for i in references],
        [of_image[0] for of_image in references.values()],
    )
    url = data_url(sheet, "JPEG", quality=85)  # the picture itself: Prefect keeps no files
    create_image_artifact(url, key=f"captions-{variant}", description=f"Test pictures captioned by {variant}")


@in_flows
def run_artifact(variant: str, run_id: str | None) -> None:
    """A link to the MLflow run; none while MLflow does not have it."""
    from prefect.artifacts import create_link_artifact

    from components.registry.lookup import run_url

    if url := run_id and run_url(run_id):
        create_link_artifact(url, f"The MLflow run of {variant}", key=f"mlflow-{variant}")


@in_flows
def versions_artifact(name: str, rows: Mapping[str, Mapping]) -> None:
    """The registered versions, their aliases and the reasons; `rows` is the content of registry.json."""
    from prefect.artifacts import create_table_artifact

    table = [{"variant": variant} | dict(row) for variant, row in rows.items()]
    create_table_artifact(table, key="versions", description=f"Versions of {name}")


def _cell(interval: Mapping[str, float] | None) -> str:
    return f"{interval['mean']:.3f} ({interval['low']:.2f}–{interval['high']:.2f})" if interval else ""
