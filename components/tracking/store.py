"""Where the runs lie: one store, the same for our code and for a bare `mlflow ui` in the project root.

Nothing set, the store is an sqlite file under mlruns/. MLflow's own default is `sqlite:///mlflow.db` in the
current folder; the committed link `mlflow.db -> mlruns/mlflow.db` makes both the same file. A user's
MLFLOW_TRACKING_URI wins.
"""

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlparse

from components.errors import UserError
from components.tracking.ui import experiment_tags

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "clip-gpt2-captioner"
LOCK_SECONDS = 120

# Read by MLflow when it is imported or when it connects; a user's own setting stands.
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",  # else alembic's migrations, one line each
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # the default of 7 waits four minutes for a server that is down
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "GIT_PYTHON_REFRESH": "quiet",
}
# The URI that we set: MLflow copies it into os.environ, where a user's would stand.
_chosen_here: str | None = None


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
    given = os.environ.get("MLFLOW_TRACKING_URI")
    if given and given != _chosen_here:
        return given
    return f"sqlite:///{runs_folder() / 'mlflow.db'}"


@contextmanager
def store_lock() -> Iterator[None]:
    """One process of this project at a time: what is looked for and then created must not be created twice.

    Raises:
        UserError: another process has held it for two minutes.
    """
    from filelock import FileLock, Timeout

    path = runs_folder() / ".lock"
    try:
        with FileLock(path, timeout=LOCK_SECONDS):
            yield
    except Timeout:
        raise UserError(
            f"{path}: held by another process for {LOCK_SECONDS} s. Is a stage hanging?"
        ) from None


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
    global _chosen_here
    import_mlflow()
    import mlflow

    uri = tracking_uri()
    if uri != os.environ.get("MLFLOW_TRACKING_URI"):
        _chosen_here = uri
    mlflow.set_tracking_uri(uri)
    ours = uri == _chosen_here
    with store_lock():  # two processes creating one fresh database: the second would die half-way
        client = mlflow.MlflowClient()
        if ours:
            _follow_moved_project()
        experiment = client.get_experiment_by_name(EXPERIMENT)
        experiment_id = experiment.experiment_id if experiment else _create_experiment(client, ours)
    if experiment and experiment.lifecycle_stage == "deleted":
        raise UserError(
            f"The MLflow experiment '{EXPERIMENT}' in {uri} was deleted. Restore it: "
            f"mlflow experiments restore --experiment-id {experiment_id}"
        )
    return Store(client, experiment_id, uri)


def _create_experiment(client: "MlflowClient", ours: bool) -> str:
    """Ours keeps its artifacts under mlruns/; a server decides for itself."""
    location = (runs_folder() / EXPERIMENT).as_uri() if ours else None
    return client.create_experiment(EXPERIMENT, location, tags=experiment_tags())


def _follow_moved_project() -> None:
    """MLflow stores absolute paths: after the project folder was moved, write the new ones.

    Left alone, runs would list while their pictures and models come back empty, without an error, and new
    artifacts would go to the old folder.
    """
    database = runs_folder() / "mlflow.db"
    if not database.exists():
        return
    here = (runs_folder() / EXPERIMENT).as_uri()
    with sqlite3.connect(database) as connection:
        try:
            query = "SELECT artifact_location FROM experiments WHERE name = ?"
            row = connection.execute(query, (EXPERIMENT,)).fetchone()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):  # a database that MLflow has not filled yet
                return
            raise
        if row is None or row[0] == here or Path(unquote(urlparse(row[0]).path)).exists():
            return
        columns = [
            ("experiments", "artifact_location"),
            ("runs", "artifact_uri"),
            ("logged_models", "artifact_location"),
            ("model_versions", "source"),
            ("model_versions", "storage_location"),
        ]
        for table, column in columns:
            update = f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE {column} LIKE ? || '%'"
            connection.execute(update, (here, len(row[0]) + 1, row[0]))
    connection.close()
