"""Find a run by what a user calls it, with the test scores it left."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from components.errors import UserError
from components.registry.gate import SCORES, scores_of_run
from components.registry.versions import ADDRESS, find_version, open_store
from components.tracking.faults import friendly
from components.tracking.store import Store, connect

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.entities import Run

LOCAL_UI = "http://127.0.0.1:5000"  # where a bare `mlflow ui` listens


@dataclass(frozen=True)
class EvaluatedRun:
    """A run with its test scores.

    Attributes:
        name: models:/NAME/VERSION where it is registered, else that of the run.
        test_digest: hash of the test split (`provenance.tables_digest`); comparable if it is the same.
        scores: the evaluate stage's per-image table.
    """

    run_id: str
    name: str
    variant: str
    test_digest: str
    scores: "pd.DataFrame"

    @property
    def heading(self) -> str:
        """Of a column: "mlp, version 3"."""
        model, _, number = self.name.rpartition("/")
        return f"{self.variant}, version {number}" if model.startswith(ADDRESS) else self.name


def tested_run(text: str) -> EvaluatedRun:
    """The run that `text` names: models:/NAME/VERSION, models:/NAME@ALIAS, a run id, a run name, or a variant
    (then its newest run).

    Raises:
        UserError: there is none, it was never evaluated, or the store cannot be reached.
    """
    with friendly(f"Looking for '{text}'"):
        store = open_store()
        run = find_run(text, store)
        name = _version_of(text, run, store) or run.info.run_name
        datasets = [entry.dataset for entry in run.inputs.dataset_inputs] if run.inputs else []
        digests = [dataset.digest for dataset in datasets if dataset.name.endswith("-test")]
        scores = scores_of_run(run.info.run_id, store) if digests else None
    if scores is None:
        raise UserError(f"'{text}': {name} has no {SCORES} in its run. Evaluate it: dvc repro")
    return EvaluatedRun(run.info.run_id, name, run.data.tags.get("variant", name), digests[-1], scores)


def _version_of(text: str, run: "Run", store: Store) -> str | None:
    """The version that `text` names, else the newest one that was made of the run; None if none was."""
    if text.startswith(ADDRESS):
        found = [find_version(text, store)]
    else:
        found = store.client.search_model_versions(f"run_id = '{run.info.run_id}'")
    newest = max(found, key=lambda version: int(version.version), default=None)
    return newest and f"{ADDRESS}{newest.name}/{newest.version}"


def find_run(text: str, store: Store) -> "Run":
    """The run that `text` names, see `tested_run`.

    Raises:
        UserError: there is none.
    """
    if text.startswith(ADDRESS):
        return store.client.get_run(find_version(text, store).run_id)
    quoted = text.replace("'", "\\'")
    for name in ("attributes.run_id", "tags.variant", "attributes.run_name"):
        newest = {"max_results": 1, "order_by": ["attributes.start_time DESC"]}
        found = store.client.search_runs([store.experiment_id], f"{name} = '{quoted}'", **newest)
        if found:
            return found[0]
    known = sorted({run.info.run_name for run in store.client.search_runs([store.experiment_id])})
    raise UserError(f"No run '{text}'. There are: {', '.join(known) or 'none yet; run dvc repro'}.")


def run_url(run_id: str) -> str | None:
    """The page of a run at the user's server, or in a bare `mlflow ui`; None if the store lacks it."""
    try:
        with friendly(f"Looking for run {run_id}"):
            store = connect()
            experiment_id = store.client.get_run(run_id).info.experiment_id
    except UserError:
        return None
    server = store.uri.rstrip("/") if store.uri.startswith("http") else LOCAL_UI
    return f"{server}/#/experiments/{experiment_id}/runs/{run_id}"


def version_url(name: str, version: int) -> str | None:
    """The page of the run that made a version, see `run_url`.

    Raises:
        UserError: there is no such version, or the store cannot be reached.
    """
    with friendly(f"Looking for version {version} of {name}"):
        run_id = find_version(f"models:/{name}/{version}", open_store()).run_id
    return run_url(run_id)


def log_comparison(run_id: str, other: EvaluatedRun, content: dict, verdict: str) -> None:
    """Leave a comparison with the run: the numbers as an artifact, a file for each run that it was compared
    with, the verdict as a tag.

    Raises:
        UserError: the store cannot be reached.
    """
    with friendly("Logging the comparison"):
        client = connect().client
        client.log_text(run_id, json.dumps(content, indent=2), f"comparisons/{other.run_id}.json")
        client.set_tag(run_id, f"compared.{other.run_id[:8]}", f"with {other.name}: {verdict}")
