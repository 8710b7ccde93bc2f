"""What Prefect's UI shows on the page of a flow run: scores, captioned pictures, versions, the MLflow run.

Outside of a flow run there is no such page, and nothing is done.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from components.data.tables import Tables
from components.evaluation import results
from flows.stage import in_flow

if TYPE_CHECKING:
    from components.evaluation.evaluate import Evaluation


def evaluation_artifacts(variant: str, evaluation: "Evaluation", shown: Tables, run_id: str | None) -> None:
    """Of an evaluated variant: a table of its scores, metrics by systems; the pictures of `shown` with their
    captions by the model and, in grey, a reference each; the MLflow run.
    """
    if not in_flow():
        return
    from prefect.artifacts import create_image_artifact, create_table_artifact

    from components.data.display import caption_sheet, data_uri

    metrics = evaluation.metrics()
    columns = results.systems({variant: metrics})
    rows = [
        {"metric": metric} | {each.name: results.written(metric, each.scores.get(metric)) for each in columns}
        for metric in results.shown(columns)
    ]
    told = f"Test scores of {variant}. {results.scored_how(metrics)}"
    create_table_artifact(rows, key=f"scores-{variant}", description=told)
    captions = dict(zip(evaluation.image_ids, evaluation.captions[results.MODEL], strict=True))
    references = shown.references()
    clips, said = [shown.open_frames(i) for i in references], [captions[i] for i in references]
    sheet = caption_sheet(clips, said, [of_image[0] for of_image in references.values()])
    url = data_uri(sheet, longest=1000)  # the picture itself, not its address: Prefect keeps no files
    create_image_artifact(url, key=f"captions-{variant}", description=f"Test pictures captioned by {variant}")
    run_artifact(variant, run_id)


def run_artifact(variant: str, run_id: str | None) -> None:
    """A link to the MLflow run; none while MLflow does not have it."""
    if not in_flow():
        return
    from prefect.artifacts import create_link_artifact

    from components.registry.lookup import run_url

    if url := run_id and run_url(run_id):
        create_link_artifact(url, f"The MLflow run of {variant}", key=f"mlflow-{variant}")


def versions_artifact(name: str, rows: Mapping[str, Mapping]) -> None:
    """The registered versions, their aliases and the reasons; `rows` is the content of registry.json."""
    if not in_flow():
        return
    from prefect.artifacts import create_table_artifact

    table = [{"variant": variant} | dict(row) for variant, row in rows.items()]
    create_table_artifact(table, key="versions", description=f"Versions of {name}")
