"""What Prefect's UI shows on the page of a flow run: scores, captioned pictures, versions, the MLflow run.

Outside of a flow run there is no such page.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from PIL import Image

from components.data.display import caption_sheet, data_uri
from components.data.tables import Tables
from components.evaluation import results
from flows.paths import REGISTRY, REPORT, RESULTS
from flows.stage import in_flow

if TYPE_CHECKING:
    from components.evaluation.evaluate import Evaluation

WIDTH = 1000
"""Of pictures, in pixels; they travel inside the artifact, for Prefect keeps no files."""


def pipeline_artifacts(variants: Sequence[str], name: str) -> None:
    """Of the whole pipeline, from what its stages have left: a table of all scores, test pictures with the
    captions of every variant, the versions of the registered model `name`, and the MLflow runs. The most
    important of it is printed, which in a flow ends its log.
    """
    from components.registry.lookup import version_url

    metrics = {variant: results.read_metrics(RESULTS / variant) for variant in variants}
    rows = results.read_json(REGISTRY)
    urls = {variant: version_url(name, row["version"]) for variant, row in rows.items()}
    for variant, row in rows.items():
        scores = results.scores(metrics[variant], results.MODEL)
        shown = [f"{m} {results.written(m, scores[m])}" for m in results.SUMMARY if m in scores]
        print(f"{variant}: test {', '.join(shown)}")
        alias = f" @{row['alias']}" if row["alias"] else ""
        print(f"{variant}: {name} version {row['version']}{alias}: {row['reason']}")
        print(f"{variant}: {urls[variant]}")
    if not in_flow():
        return
    from prefect.artifacts import create_image_artifact, create_markdown_artifact

    scores_artifact("scores", metrics)
    with Image.open(REPORT.parent / "plots" / "samples.png") as sheet:
        url = data_uri(sheet, longest=WIDTH)
    create_image_artifact(url, key="captions", description="Test pictures, captions and a reference (grey)")
    versions_artifact(name, rows)
    links = "\n".join(f"- [{variant}]({url})" for variant, url in urls.items() if url)
    create_markdown_artifact(links, key="mlflow", description="The MLflow runs")


def evaluation_artifacts(variant: str, evaluation: "Evaluation", shown: Tables, run_id: str | None) -> None:
    """Of an evaluated variant: its scores; the pictures of `shown` with their captions by the model and, in
    grey, a reference each; the MLflow run.
    """
    if not in_flow():
        return
    from prefect.artifacts import create_image_artifact

    scores_artifact(f"scores-{variant}", {variant: evaluation.metrics()})
    captions = dict(zip(evaluation.image_ids, evaluation.captions[results.MODEL], strict=True))
    references = shown.references()
    clips, said = [shown.open_frames(i) for i in references], [captions[i] for i in references]
    sheet = caption_sheet(clips, said, [of_image[0] for of_image in references.values()])
    url = data_uri(sheet, longest=WIDTH)
    create_image_artifact(url, key=f"captions-{variant}", description=f"Test pictures captioned by {variant}")
    run_artifact(variant, run_id)


def scores_artifact(key: str, metrics: results.Results) -> None:
    """A table: metrics by variants and baselines."""
    from prefect.artifacts import create_table_artifact

    columns = results.systems(metrics)
    rows = [
        {"metric": metric} | {each.name: results.written(metric, each.scores.get(metric)) for each in columns}
        for metric in results.shown(columns)
    ]
    how = " ".join(dict.fromkeys(map(results.scored_how, metrics.values())))
    create_table_artifact(rows, key=key, description=f"Test scores of {', '.join(metrics)}. {how}")


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
