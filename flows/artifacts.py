"""What Prefect's UI shows on the page of a flow run: scores, captioned pictures, versions, the MLflow run.

Outside of a flow run there is no such page, and nothing is done.
"""

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from components.data.tables import Tables
from components.evaluation.results import MODEL, Metrics, shown, systems, written
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
    captions = dict(zip(evaluation.image_ids, evaluation.captions[MODEL], strict=True))
    scores_artifact(variant, evaluation.metrics())
    captions_artifact(variant, shown, captions)
    run_artifact(variant, run_id)


def scores_artifact(variant: str, metrics: Metrics) -> None:
    """A table of metrics by systems, means with their intervals; `metrics` is the content of metrics.json."""
    from prefect.artifacts import create_table_artifact

    columns = systems({variant: metrics})
    rows = [
        {"metric": metric} | {column.name: written(metric, column.scores.get(metric)) for column in columns}
        for metric in shown(columns)
    ]
    create_table_artifact(rows, key=f"scores-{variant}", description=f"Test scores of {variant}")


def captions_artifact(variant: str, shown: Tables, captions: Mapping[str, str]) -> None:
    """The pictures of `shown` with their captions by the model and, in grey, a reference each."""
    from prefect.artifacts import create_image_artifact

    from components.data.display import caption_sheet, data_uri

    references = shown.references()
    sheet = caption_sheet(
        [shown.open_frames(i) for i in references],
        [captions[i] for i in references],
        [of_image[0] for of_image in references.values()],
    )
    url = data_uri(sheet, longest=1000)  # the picture itself, not its address: Prefect keeps no files
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
