"""Where the runs lie: one store, the same for our code and for a bare `mlflow ui` in the project root.

Nothing set, the store is an sqlite file under mlruns/. MLflow's own default is `sqlite:///mlflow.db` in the
current folder; the committed link `mlflow.db -> mlruns/mlflow.db` makes both the same file. A user's
MLFLOW_TRACKING_URI wins.
"""

import json
import logging
import os
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from components.errors import UserError

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "clip-gpt2-captioner"
LOCK_SECONDS = 120

VIEW = "captioners"  # http://localhost:5000/#/experiments/1/runs?viewStateShareKey=captioners
COLUMNS = (
    "metrics.`eval/CIDEr`",
    "metrics.`test/BLEU-4`",
    "metrics.`test/CHAIRi`",
    "metrics.`test/CIDEr`",
    "metrics.`test/entirely_right`",
    "tags.`registry`",
)

# Read by MLflow when it is imported or when it connects; a user's own setting stands.
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",  # else alembic's migrations, one line each
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # the default of 7 waits four minutes for a server that is down
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "GIT_PYTHON_REFRESH": "quiet",
}


@dataclass(frozen=True)
class Store:
    """An open store: a client, and the id of our experiment in it."""

    client: "MlflowClient"
    experiment_id: str
    uri: str


def project_root() -> Path:
    """The folder with mlruns/: the current one, or the project that a DVC experiment's workspace was copied
    from.

    `dvc exp run --queue` and `--temp` work in PROJECT/.dvc/tmp/exps/NAME, which is deleted afterwards; their
    runs belong beside those that they are compared with.
    """
    here = Path.cwd()
    for folder in here.parents:
        if folder.parts[-3:] == (".dvc", "tmp", "exps"):
            return folder.parents[2]
    return here


def runs_folder() -> Path:
    """mlruns/ of the project, created if need be."""
    folder = project_root() / "mlruns"
    folder.mkdir(exist_ok=True)
    return folder


def tracking_uri() -> str:
    """The user's MLFLOW_TRACKING_URI, or the sqlite file under mlruns/."""
    return os.environ.get("MLFLOW_TRACKING_URI") or _own_uri()


def _own_uri() -> str:
    return f"sqlite:///{runs_folder() / 'mlflow.db'}"


def store_lock() -> FileLock:
    """One process at a time: what is looked for and then created must not be created twice."""
    return FileLock(runs_folder() / ".lock", timeout=LOCK_SECONDS)


def import_mlflow() -> None:
    """Import MLflow (a second), quietly. Call it in the main thread before a background thread needs it."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import mlflow.tracking  # noqa: F401

    for name in ("mlflow", "alembic", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(os.environ["MLFLOW_LOGGING_LEVEL"])


def connect() -> Store:
    """Open the store and the experiment; create the database and the experiment where they do not exist yet.

    Raises whatever MLflow raises where the store cannot be reached: `components.tracking.faults.friendly`
    words it.
    """
    import_mlflow()
    import mlflow

    uri = tracking_uri()
    mlflow.set_tracking_uri(uri)
    # Ours keeps its artifacts under mlruns/; a server decides for itself.
    location = (runs_folder().resolve() / EXPERIMENT).as_uri() if uri == _own_uri() else None
    with store_lock():  # two processes creating one fresh database: the second would die half-way
        client = mlflow.MlflowClient()
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            experiment_id = client.create_experiment(EXPERIMENT, location, tags=_experiment_tags())
        else:
            experiment_id = experiment.experiment_id
            if location and experiment.artifact_location != location:
                _move_artifacts(experiment.artifact_location, location)
    if experiment and experiment.lifecycle_stage == "deleted":
        raise UserError(
            f"The MLflow experiment '{EXPERIMENT}' in {uri} was deleted. Restore it: "
            f"mlflow experiments restore --experiment-id {experiment_id}"
        )
    return Store(client, experiment_id, uri)


def _experiment_tags() -> dict[str, str]:
    """How the experiment meets the eye: as model training, with one table of all parents' children, as the UI
    nests runs only while they are ordered by date.

    Set once, when the experiment is created: afterwards they are the user's to change. The view is what the
    UI itself writes for "Views > Save as new view"; a UI that reads it differently merely does not list it.
    """
    state = {
        "searchFilter": "params.variant != ''",
        "orderByKey": "metrics.`eval/CIDEr`",
        "orderByAsc": False,
        "selectedColumns": COLUMNS,
    }
    now = time.time_ns() // 1_000_000
    view = {"name": "Captioners compared", "createdAt": now, "updatedAt": now, "state": json.dumps(state)}
    return {
        "mlflow.note.content": "One parent run a configuration, one child a variant. "
        "**Views > Captioners compared** lists the children.",
        "mlflow.experimentKind": "custom_model_development",
        f"mlflow.sharedViewState.{VIEW}": json.dumps(view),
    }


def _move_artifacts(old: str, new: str) -> None:
    """The project was moved, or is a copy: have its database say where its files lie now.

    MLflow stores absolute paths, and no call and no setting of it changes one, hence SQL on its tables. Left
    alone, runs of a moved project would list while their pictures and models come back empty, without an
    error, and a copy would write into the original.
    """
    columns = [
        ("experiments", "artifact_location"),
        ("runs", "artifact_uri"),
        ("logged_models", "artifact_location"),
        ("model_versions", "source"),
        ("model_versions", "storage_location"),
    ]
    with closing(sqlite3.connect(runs_folder() / "mlflow.db")) as connection, connection:
        for table, column in columns:
            update = f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE instr({column}, ?) = 1"
            connection.execute(update, (new, len(old) + 1, old))
